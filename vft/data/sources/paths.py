"""Paths that must stay below one folder, whatever a CSV file says or a symbolic link points to."""
import os

from vft import storage
from vft.errors import DataError


def inside(root: str, path: str, follow_links: bool) -> str:
  """The absolute file name of `path`, which is relative to `root` or below it.

  Raises DataError if it lies outside, by "..", as an absolute path, or by a symbolic link unless `follow_links`.
  """
  if storage.is_remote(root):
    return storage.inside(root, path)
  base = os.path.abspath(root)
  real_base, name = os.path.realpath(base), os.path.normpath(os.path.join(base, path))
  if "\0" in path or not (_below(base, name) or _below(real_base, name)):
    raise DataError(f"{path!r} is outside config.data.root, {base!r}.\nExpected every video below that folder: move "
                    "it there, or name a folder above all of them with --config.data.root=FOLDER.")
  real = os.path.realpath(name)
  if not follow_links and not _below(real_base, real):
    raise DataError(f"{path!r} is a link to {real!r}, outside config.data.root, {base!r}.\nExpected every video below "
                    "that folder; if the link is meant, type --config.data.follow_links=True.")
  return name


def _below(folder: str, name: str) -> bool:
  return name.startswith(folder.rstrip(os.sep) + os.sep)
