"""Writes the page of a finished run, or a comparison of several: what `vft report WORKDIR...` asks for."""
from collections.abc import Sequence
from pathlib import Path

from vft import mirror
from vft.report import compare, folder, page


def write(path: Path) -> Path:
  """Writes report.html into the folder of a finished run. Raises ConfigError where it is none.

  >>> write(folder / "run").name
  'report.html'
  """
  return _write(path / "report.html", page.of_run(folder.load(path)))


def report(paths: Sequence[str], output: str) -> None:
  """One folder: its report.html, or `output`; several: their comparison in `output`, by default comparison.html."""
  if len(paths) == 1 and not output:
    print(write(mirror.fetched(paths[0])))
    return
  runs = [folder.load(mirror.fetched(p)) for p in paths]
  html = page.of_run(runs[0]) if len(runs) == 1 else compare.of_runs(runs)
  print(_write(Path(output or "comparison.html"), html))


def _write(path: Path, html: str) -> Path:
  """All of it or nothing."""
  path.parent.mkdir(parents=True, exist_ok=True)
  new = path.with_name(f"{path.name}.tmp")
  new.write_text(html, encoding="utf-8")
  new.replace(path)
  return path
