"""vft new DOMAIN --source=...: writes a config for a data set after a look at it. Overwrites nothing."""
from __future__ import annotations

import keyword
import re
import tempfile
from pathlib import Path

from ml_collections import ConfigDict

from vft import config as configs
from vft import storage
from vft.check import command as checks
from vft.data import manifest as manifests
from vft.data.sources import check_kind
from vft.errors import ConfigError
from vft.new import choices, seen
from vft.new.choices import Line

WIDTH = 120


def new(config: ConfigDict, name: str, *, output: Path | None = None, label: str = "label", preset: str = "") -> Path:
  """Checks the data of `config` (defaults with the source and what else was typed) and writes configs/NAME.py.

  Raises ConfigError where the file exists or the source has a config already, DataError for what would stop a run.

  >>> config = configs.load("default")
  >>> config.data.source = f"csv:{folder}/clips.csv"
  >>> path = new(config, "discs", output=folder / "discs.py")
  <BLANKLINE>
  'csv:...': 24 of 24 files can be used...
  >>> configs.load(str(path)).data.classes
  ('fast', 'slow')
  """
  path = output or Path("configs", f"{name}.py")
  _check(name, path, config)
  configs.check(config)
  kind, where = check_kind(config.data.source)
  if kind in ("csv", "folder", "dicom") and not storage.is_remote(where):
    config.data.source = f"{kind}:{Path(where).expanduser().absolute()}"
  if config.data.root and not storage.is_remote(config.data.root):
    config.data.root = str(Path(config.data.root).expanduser().absolute())
  typed = _typed(config)
  what, official = seen.column_of(config, label)
  if what != "single" or label != "label":
    config.tasks = {choices.name_of(label): {"kind": what, "column": label}}
  place = Path("runs/check", name)
  data = seen.gather(checks.check(config, place), place, config, label, official)
  text = render(name, path, data, choices.choose(data, config.data.source, config.data.root,
                                                 f"{name} {Path(where).name}", preset), typed)
  _try(text, name)
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    with path.open("x", encoding="utf-8") as file:
      file.write(text)
  except FileExistsError:
    raise _exists(path) from None
  print(f"\n{text}\nWritten: {path}. Read it, then:\n  vft inspect --config={path}\n  vft train --config={path}")
  return path


def render(name: str, path: Path, data: seen.Seen, sections: list[list[Line]], typed: list[Line]) -> str:
  """The file as text."""
  clips, several = sum(data.clips.values()), f", {len(data.classes)} classes" if data.classes else ""
  preset = any("presets." in line.code for section in sections for line in section)
  who = f" of {data.groups} patients" if data.grouped_by == "patient" else ""
  head = [f'"""{name}: {clips} clips from {data.videos} videos{who}{several}.', "",
          f"Medians: {data.length_s:.3g} s, {data.fps:.4g} Hz, short side {data.side} pixels; "
          f"{'grey' if data.grey else 'colour'}. Written by `vft new`.", "",
          f"  vft train --config={_plain(path.as_posix())}", "", "not run yet: put figure, cost and machine here",
          '"""', f"from configs import default{', presets' if preset else ''}", "", "",
          "def get_config():", "  c = default.get_config()  # locked: a misspelt field stops here"]
  body: list[str] = []
  for section in [*sections, typed]:
    body += ["", *(text for line in section for text in _lines(line))] if section else []
  return "\n".join([*head, *body, "  return c"]) + "\n"


def _lines(line: Line) -> list[str]:
  why = _plain(line.why)
  if not line.code:
    return [f"  # {why}"]
  whole = f"  {line.code}  # {why}"
  return [whole] if len(whole) <= WIDTH else [f"  # {why}", f"  {line.code}"]


def _plain(text: str) -> str:
  """What comes from the data and stands in a comment or docstring: it ends neither."""
  return "".join(c if c.isprintable() else "?" for c in text).replace('"""', "'").replace("\\", "/")


def _check(name: str, path: Path, config: ConfigDict) -> None:
  if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
    raise ConfigError(f"The name of a domain is {name!r}; expected small letters, digits and _, such as lung_us.")
  if path.exists():
    raise _exists(path)
  shipped = {p.stem for p in configs.SHIPPED.glob("*.py")}
  if name in shipped and path.resolve().parent != configs.SHIPPED:
    raise ConfigError(f"{name} is the name of a config that vft ships; give another one.")
  kind, _ = check_kind(config.data.source)
  if kind in shipped:
    raise ConfigError(f"There is a config for {kind} already: vft train --config={kind} "
                      f"--config.data.source={config.data.source}\nTo change it: from configs import {kind}, and "
                      f"c = {kind}.get_config() in a file of your own.")


def _exists(path: Path) -> ConfigError:
  return ConfigError(f"{path} exists, and vft new overwrites nothing.\nGive another name, or --output=FILE.")


def _typed(config: ConfigDict) -> list[Line]:
  """What was set by flags, to be kept."""
  usual, mine = (configs.fields(c) for c in (configs.load(str(configs.SHIPPED / "default.py")), config))
  return [Line(f"c.{k} = {v!r}", "as typed") for k, v in mine.items()
          if k not in ("data.source", "data.root") and v != usual.get(k) and not isinstance(v, ConfigDict)]


def _try(text: str, name: str) -> None:
  """The file as a run would read it: its splits are made once."""
  with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
    config = configs.load(str(Path(folder) / f"{name}.py"))
  configs.check(config)
  manifests.make_manifest(config)
