"""Sources whose files hang or crash whatever process decodes them; the main process only reads their bytes."""
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from vft.data.sources.folder import FolderSource


class Deadly(FolderSource):
  """What happens stands in the name of a file: hang.mp4, abort.mp4, kill.mp4, bug.mp4."""

  def read(self, path):
    if multiprocessing.parent_process() is not None:
      if "hang" in path:
        time.sleep(60)
      if "abort" in path:
        os.abort()
      if "kill" in path:
        os.kill(os.getpid(), 9)
      if "bug" in path:
        raise KeyError("DOE^JANE")
      if "modules" in path:
        Path(self.folder, "modules.txt").write_text("\n".join(sys.modules))
    return super().read(path)


class Stillborn(FolderSource):
  """No process that is given it starts."""

  def __reduce__(self):
    return os._exit, (9,)


def open_deadly(folder, *args):
  return Deadly(folder, *args)


class Trap(NamedTuple):
  """A source with one file that hangs or aborts the processes that the test starts; "hang_here" its threads, too."""
  inner: Any
  path: str
  trap: str

  @property
  def classes(self):
    return self.inner.classes

  @property
  def simulated(self):
    return False

  @property
  def CHECKED(self):
    return "our own"

  def rows(self):
    return self.inner.rows()

  def read(self, path):
    if path == self.path and self.trap == "hang_here" and threading.current_thread() is not threading.main_thread():
      time.sleep(6)
    if path == self.path and multiprocessing.parent_process() is not None:
      if self.trap.startswith("hang"):
        time.sleep(60)
      if self.trap.startswith("abort"):
        os.abort()
    return self.inner.read(path)
