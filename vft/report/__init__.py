"""report.html: a finished run as one file to read, print and send; opens offline, without scripts."""
import logging
from pathlib import Path

import jax
from ml_collections import ConfigDict


def at_the_end(config: ConfigDict, folder: Path) -> None:
  """Writes report.html of a run whose result is on disk, where config.report.write; a fault of it fails no run."""
  if not config.report.write or jax.process_index():
    return
  from vft.report import command  # only now: matplotlib and jinja2 take a second
  try:
    command.write(folder)
  except Exception as e:  # whatever it is, hours of training are done and must be told
    logging.warning("%s could not be written (%s: %s); the result is whole. To try again: vft report %s",
                    folder / "report.html", type(e).__name__, e, folder)
