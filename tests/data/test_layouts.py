"""Every layout of tests/layouts: what its rows are, and that its config runs an epoch on them."""
import json
import pickle

import pytest

from tests import layouts, tiny
from vft import config as configs
from vft import run
from vft.data import manifest, readers, sources

MODULES = layouts.modules()
# Another config of the same data differs by its trunk only, which is a tiny one of another family here; and rows like
# those of ucf101, pocus, echonet_dynamic and cholec80 train alike.
ALIKE = ("hmdb51", "kinetics_list", "something_something", "hyperkvasir", "echonet_pediatric", "autolaparo")
ONCE = [pytest.param(name, marks=pytest.mark.long if name in ALIKE or module.make.__module__ != module.__name__ else ())
        for name, module in MODULES.items()]


def tiny_config(name, folder):
  """The shipped config of that name on the tiny tree in `folder`, small enough for a test."""
  module, config = MODULES[name], configs.load(name)
  kind = config.data.source.partition(":")[0]
  config.data.update(source=f"{kind}:{folder}{getattr(module, 'SOURCE', '')}", resize=64, size=56, workers=0,
                     num_frames=min(config.data.num_frames, 8))
  config.model.variant = "tiny"
  config.init.update(weights="", keep_init=(), stats_clips=4)
  config.train.update(batch=4, epochs=1, eval_every=1)
  config.eval.update(views=1, bootstrap=50)
  config.augment.enabled = False  # 30 s to compile, and tests/test_augment.py has the presets
  config.controls = ()
  config.log.update(tensorboard=False, progress=False)
  with config.unlocked():  # tasks and options have keys of their own
    config.update(getattr(module, "UPDATES", {}))
  return config


@pytest.mark.parametrize("name", MODULES)
def test_rows_of_a_layout_are_what_lies_on_the_disk(name, trees):
  expected, config = getattr(MODULES[name], "EXPECTED", {}), tiny_config(name, trees(name))
  columns = tuple(t.get("column", "") or name for name, t in config.tasks.items()) or ("label",)
  source = pickle.loads(pickle.dumps(sources.open_source(config.data.source, config.data, columns)))  # noqa: S301
  rows = source.rows()
  assert tuple(rows.columns[:7]) == sources.COLUMNS and set(columns) <= set(rows.columns) and rows.id.is_unique
  assert set(rows.split) <= {"", "train", "val", "test"}
  for path in rows.path:
    assert readers.probe(source.read(path), **readers.options(config.data)).duration_s > 0
  if "splits" in expected:
    assert rows.split.value_counts().to_dict() == expected["splits"]
  if "groups" in expected:
    assert len(set(rows.group) - {""}) == expected["groups"]
  for column, cells in expected.get("labels", {}).items():
    assert set(rows[column]) == cells, column


@pytest.mark.parametrize("name", MODULES)
def test_the_config_of_a_layout_says_what_of_its_model_trains(name, trees):
  config = configs.load(name)
  config.init.weights = ""  # a file that is not here
  stages = tiny.stages_of(config, manifest.make_manifest(tiny_config(name, trees(name))).tasks)
  assert any(name.startswith("head/") for name in stages[0].trained)


@pytest.mark.parametrize("name", ONCE)
def test_the_config_of_a_layout_runs_an_epoch_on_its_tiny_tree(name, trees, tmp_path):
  config = tiny_config(name, trees(name))
  config.model.name = "vit" if config.data.num_frames == 1 else "videomae"  # compiled in a third of the time
  trunk = tiny.write_weights(tmp_path / "trunk.safetensors", config.model.name)
  config.init.update(weights=str(trunk), keep_init=("head/.*",))
  config.rules = tuple((pattern.replace("mixed_5[bc]", "block_01"), group) for pattern, group in config.rules)
  config.features.dir = str(tmp_path / "features")
  result = run.run(config, tmp_path / "run")
  assert result["cost"]["steps"] > 0 and all(result["data"]["clips"][s] for s in ("train", "val", "test"))
  assert json.loads((tmp_path / "run" / "result.json").read_text())["test"]
