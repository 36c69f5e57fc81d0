"""configs/template.py: it trains, and says something of each field that default.py has for a researcher."""
import ast
import re

import pytest

from tests.test_writer import events
from vft import config as configs
from vft import run

TEMPLATE = configs.SHIPPED / "template.py"


def assigned() -> list[ast.Attribute]:
  """What the template sets, as in c.data.fps = 12.5."""
  return [t for node in ast.walk(ast.parse(TEMPLATE.read_text())) if isinstance(node, ast.Assign)
          for t in node.targets if isinstance(t, ast.Attribute)]


@pytest.mark.parametrize("target", assigned(), ids=lambda t: ast.unparse(t))
def test_a_field_of_the_template_exists_and_its_line_says_why_to_change_it(target):
  name = ast.unparse(target).removeprefix("c.")
  known = configs.fields(configs.load("default"))
  assert name in known or name in ("tasks", "groups")
  lines = TEMPLATE.read_text().splitlines()
  assert "# " in lines[target.lineno - 1] or name in ("groups", "rules")


def test_the_template_is_at_the_defaults_but_for_what_has_none_and_what_it_shows():
  lines = configs.difference(configs.load("default"), configs.load("template"))
  moved = {line.partition(":")[0] for line in lines}
  assert {k for k in moved if not k.startswith(("augment.", "groups", "rules"))} == {
      "data.source", "init.weights", "train.epochs"}


def test_what_comments_of_the_template_tell_to_type_can_be_typed():
  """Values in quotes beside a field with choices are among them."""
  from vft.config.ranges import CHOICES
  for line in TEMPLATE.read_text().splitlines():
    field = re.match(r" *c\.([\w.]+) = [^#]*#(.*)", line)
    if field and field[1] in CHOICES:
      assert set(re.findall(r'"(\w+)"', field[2])) <= set(CHOICES[field[1]]), line


def test_the_template_trains_on_tiny_clips(tiny_csv, tmp_path):
  config = configs.load("template")
  config.data.update(source=f"csv:{tiny_csv}", num_frames=8, fps=8.0, resize=64, size=56, workers=0)
  config.model.update(name="videomae", variant="tiny")  # I3D takes a minute to compile
  config.init.update(weights="", keep_init=(), stats_clips=4)
  config.train.update(batch=8, epochs=1)
  config.eval.bootstrap = 20
  config.controls = ()
  config.features.dir = str(tmp_path / "features")
  config.report.write = False
  config.log.progress = False
  result = run.run(config, tmp_path / "run")
  found = events(tmp_path / "run")
  accuracy = result["test"]["patient"]["accuracy"]["value"]
  assert found.Scalars("test/patient/accuracy")[-1].value == pytest.approx(accuracy)
  assert {"_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(found.summary_metadata)
  assert 0 <= result["test"]["patient"]["accuracy"]["value"] <= 1
