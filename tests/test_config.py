import math

import pytest
from ml_collections import ConfigDict

from tests import tiny
from vft import config as configs
from vft.errors import ConfigError

SHIPPED = sorted(p.stem for p in configs.SHIPPED.glob("*.py") if p.stem not in ("__init__", "default", "presets"))
LINES = '''from configs import default


def get_config():
  c = default.get_config()
  {}
  return c
'''


def write(folder, line):
  path = folder / "mine.py"
  path.write_text(LINES.format(line))
  return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_loads_locked_and_passes_the_check(name):
  config = configs.load(name)
  configs.check(config)
  with pytest.raises(AttributeError):
    config.train.bach = 3


@pytest.mark.parametrize("name", ["medical", "medical.py", "configs/medical.py", str(configs.SHIPPED / "medical.py")])
def test_a_shipped_config_is_found_from_any_folder(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert configs.find(name) == configs.SHIPPED / "medical.py"


def test_a_file_of_the_user_wins_over_a_shipped_one_and_may_import_its_neighbours(tmp_path, monkeypatch):
  (tmp_path / "my_neighbour.py").write_text("EPOCHS = 7\n")
  (tmp_path / "medical.py").write_text("from configs import my_neighbour\n" + LINES.format(
      "c.train.epochs = my_neighbour.EPOCHS"))
  monkeypatch.chdir(tmp_path)
  assert configs.load("medical.py").train.epochs == 7


def test_an_unknown_config_is_answered_with_the_nearest_and_all_names():
  with pytest.raises(ConfigError, match=r"no config 'medicl'; did you mean 'medical'\?(.|\n)*medical_finetune"):
    configs.find("medicl")


@pytest.mark.parametrize("line", ["c.data.num_frame = 8", "c.data.update(num_frame=8)", "c.data = dict(num_frame=8)"])
def test_a_misspelt_field_in_a_file_is_named_with_its_cure(line, tmp_path):
  with pytest.raises(ConfigError) as e:
    configs.check(configs.load(write(tmp_path, line)))
  assert "num_frame" in str(e.value) and "num_frames" in str(e.value) and "default.py" in str(e.value)


def test_a_replaced_sub_config_is_caught_by_what_it_lacks(tmp_path):
  config = configs.load(write(tmp_path, 'c.data.source = "csv:x"; c.model = dict(name="i3d", heda="mlp")'))
  with pytest.raises(ConfigError) as e:
    configs.check(config)
  assert "config.model.heda is unknown; did you mean 'model.head'?" in str(e.value)
  assert "'model.num_classes'" in str(e.value) and "c.model.update(" in str(e.value)


def test_a_value_of_another_type_is_an_error_that_names_the_file(tmp_path):
  with pytest.raises(ConfigError, match=r"mine\.py: (.|\n)*int"):
    configs.load(write(tmp_path, 'c.train.batch = "eight"'))


@pytest.mark.parametrize(("updates", "message"), [
    (dict(loss=dict(name="logit_adjusted", class_weights="inverse")), "class_weights is .inverse., which logit_adj"),
    (dict(loss=dict(name="focal"), train=dict(label_smoothing=0.1)), "label_smoothing is 0.1, which the focal loss"),
    (dict(optim=dict(clip_norm=math.nan)), r"config\.optim\.clip_norm is nan; expected a finite number"),
    (dict(groups=dict(head=dict(lr=math.inf))), r"config\.groups\.head\.lr is inf; expected a finite number"),
    (dict(groups=dict(head=dict(lr=-1.0))), r"config\.groups\.head\.lr is -1.0; expected a number, 0 or more"),
    (dict(groups=dict(head=dict(lrr=1.0))), r"config\.groups\.head is 'lrr'; did you mean 'lr'\?"),
    (dict(groups=dict(head=dict(schedule="cosin"))), r"schedule is 'cosin'; did you mean 'cosine'\?"),
    (dict(groups=dict(extra=dict(train=True))), r"\['extra', 'head', 'trunk'\], config.rules use \['head', 'trunk'\]"),
    (dict(groups=dict(head=dict(wd=0.1)), optim=dict(name="adam")), r"head\.wd is set, but adam has no decoupled"),
    (dict(model=dict(head="liner")), r"config\.model\.head is 'liner'; did you mean 'linear'\?"),
    (dict(controls=("majorty",)), r"config\.controls is 'majorty'; did you mean 'majority'\?"),
    (dict(train=dict(batch=0)), r"config\.train\.batch is 0; expected a number above 0"),
    (dict(train=dict(batch=8, accum=3)), r"config\.train\.batch, 8, is not a multiple of config\.train\.accum, 3"),
    (dict(data=dict(fps=-1.0)), r"config\.data\.fps is -1.0; expected a number above 0"),
    (dict(data=dict(size=65)), r"config\.data\.size is 65, larger than config\.data\.resize, 64"),
    (dict(data=dict(split=(0.5, 0.5, 0.5))), r"config\.data\.split is \(0.5, 0.5, 0.5\); expected three shares"),
    (dict(data=dict(folds=1)), r"config\.data\.folds is 1; expected 2 or more"),
    (dict(data=dict(shots=2), sequence=dict(unit="patient")),
     r"config\.data\.shots is 2, which chooses single clips, but config\.sequence\.unit is 'patient'"),
    (dict(data=dict(sampler="balance")), r"config\.data\.sampler is 'balance'; did you mean 'balanced'\?"),
    (dict(model=dict(mean=(10**400,) * 3)), r"(?s)config\.model\.mean is .*; expected each of them to be"),
    (dict(data=dict(shots=-1)), r"config\.data\.shots is -1; expected 0 to inf"),
    (dict(eval=dict(threshold="yuden")), r"config\.eval\.threshold is 'yuden'; did you mean 'youden'\?"),
    (dict(eval=dict(rate=90.0)), r"config\.eval\.rate is 90.0; expected 0 to 1"),
    (dict(data=dict(channels=2)), r"config\.data\.channels is 2(.|\n)*1, 3"),
    (dict(model=dict(head="attentive", depth=5)), r"config\.model\.depth is 5; the attentive head has 1 to 4 blocks"),
    (dict(model=dict(depth=0)), r"config\.model\.depth is 0; expected a number above 0"),
    (dict(model=dict(head="attentive", pool="cls")), r"pool is 'cls', but the head 'attentive' does not use it: leave"),
    (dict(model=dict(head="tcn", temporal="max")), r"temporal is 'max', but the head 'tcn' does not use it: leave it"),
    (dict(model=dict(head="original", pool="mean")), r"pool is 'mean', but the head 'original' does not use it"),
    (dict(model=dict(head="transformer", pool="flatten")), r"pool='flatten' gives vectors of 10,000(.|\n)*head=tcn"),
    (dict(model=dict(head="tcn", hidden=())), r"config\.model\.hidden is \(\); expected widths(.|\n)*needs the first"),
    (dict(model=dict(head="mlp", hidden=(8, 0))), r"config\.model\.hidden is \(8, 0\); expected widths above 0"),
    (dict(model=dict(pool="class")), r"config\.model\.pool is 'class'; did you mean 'cls'\?"),
    (dict(model=dict(temporal="men")), r"config\.model\.temporal is 'men'; did you mean 'mean'\?"),
    (dict(model=dict(mean=(0.5, 0.5, 0.5))), r"mean is \(0.5, 0.5, 0.5\) and config\.model\.std \(\); give both"),
    (dict(model=dict(std=(0.5, 0.5, 0.5))), r"mean is \(\) and config\.model\.std \(0.5, 0.5, 0.5\); give both"),
    (dict(model=dict(mean=(0.5,), std=(0.5,))), r"config\.model\.mean is \(0.5,\); expected three numbers"),
    (dict(model=dict(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))), r"mean is \(123\.7(.|\n)*by 255"),
    (dict(model=dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.0))), r"std is \(0.5, 0.5, 0.0\)(.|\n)*and above 0"),
    (dict(model=dict(mean=(0.5, 0.5, 0.5), std=(0.5, math.nan, 0.5))), r"std is \(0.5, nan, 0.5\); expected each"),
    (dict(init=dict(weights="", layout="vit")), r"config\.init\.layout is 'vit', but config\.init\.weights is empty"),
    (dict(init=dict(weights="", map_labels=True)), r"map_labels is True, but config\.init\.weights is empty(.|\n)*F"),
    (dict(init=dict(weights="x", inflate="center")), r"config\.init\.inflate is 'center'; did you mean 'centre'\?"),
    (dict(init=dict(weights="x", map_labels=True), model=dict(head="mlp")), r"map_labels(.|\n)*the head 'mlp'"),
    (dict(data=dict(source="")), r"config\.data\.source is empty; expected tfds:NAME"),
    (dict(optim=dict(warmup=5.0)), r"optim\.warmup is 5; a share of the steps is 0 to 1(.|\n)*warmup_unit=steps"),
    (dict(optim=dict(warmup_unit="step")), r"config\.optim\.warmup_unit is 'step'; did you mean 'steps'\?"),
    (dict(optim=dict(layer_decay=1.5)), r"config\.optim\.layer_decay is 1.5; expected 0.01 to 1"),
    (dict(train=dict(ema=1.0)), r"config\.train\.ema is 1.0; expected 0 to"),
    (dict(train=dict(patience=-1)), r"config\.train\.patience is -1; expected 0 to inf"),
    (dict(train=dict(stages=("head",))), r"train\.stages has 'head'; expected pairs \(epoch, groups\)"),
    (dict(train=dict(stages=((1, "head"),))), r"train\.stages has \(1, 'head'\); expected pairs"),
    (dict(train=dict(stages=((1, ("haed",)),))), r"a group of config\.train\.stages is 'haed'; did you mean 'head'\?"),
    (dict(train=dict(stages=((1, ("trunk",)),))), r"thaws 'trunk', but config\.groups\.trunk has train=False"),
    (dict(train=dict(stages=((2, ("head",)),))), r"thaws head after epoch 2; expected rising epochs from 1 to 1"),
    (dict(train=dict(epochs=9, stages=((3, ("head",)), (3, ("trunk",))))), r"after epoch 3; expected(.|\n)*4 to 8"),
    (dict(train=dict(epochs=9, stages=((3, ("head",)), (4, ("head",))))), r"names 'head' twice; a group thaws once"),
], ids=lambda v: ".".join(map(str, v)) if isinstance(v, dict) else "")
def test_the_check_finds_a_value_that_cannot_work(updates, message, tmp_path):
  with pytest.raises(ConfigError, match=message):
    configs.check(tiny.make_config(tmp_path / "clips.csv", tmp_path, **updates))


@pytest.mark.parametrize(("updates", "message"), [
    (dict(loss=dict(name="focal")), "config.loss.name is 'focal', which is of tasks of kind single"),
    (dict(loss=dict(class_weights="effective")), "config.loss.class_weights is 'effective', which only kinds single"),
    (dict(train=dict(label_smoothing=0.1)), "config.train.label_smoothing is 0.1, which only tasks of kind single")],
    ids=str)
def test_a_loss_that_no_task_has_is_refused(updates, message, tmp_path):
  config = tiny.make_config(tmp_path / "clips.csv", tmp_path, **updates)
  config.tasks = dict(grade=dict(kind="ordinal"))
  with pytest.raises(ConfigError, match=message):
    configs.check(config)
  config.tasks = dict(grade=dict(kind="ordinal"), label=dict(kind="single"))
  configs.check(config)


@pytest.mark.parametrize("updates", [
    dict(model=dict(head="attentive", depth=4)),
    dict(model=dict(head="tcn", depth=8, pool="flatten", hidden=(32,))),
    dict(model=dict(head="mlp", hidden=(), temporal="attention", pool="cls_mean")),
    dict(model=dict(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255)), data=dict(channels=1)),
    dict(init=dict(weights="vit_x", layout="vit", inflate="average", map_labels=True)),
    dict(init=dict(weights="vit_x", map_labels=True), model=dict(head="original")),
], ids=str)
def test_the_check_passes_what_can_work(updates, tmp_path):
  configs.check(tiny.make_config(tmp_path / "clips.csv", tmp_path, **updates))


def test_the_tiny_config_of_the_tests_passes_the_check(tiny_config):
  configs.check(tiny_config)


def test_fields_are_named_as_their_flags():
  flat = configs.fields(ConfigDict(dict(a=1, b=dict(c=(2,), d=dict(e=None)), free={})))
  assert flat.keys() == {"a", "b.c", "b.d.e", "free"}


def test_json_keeps_every_value_tuples_included_and_the_lock(tiny_config):
  read = configs.from_json(configs.to_json(tiny_config))
  assert configs.fields(read) == configs.fields(tiny_config)
  assert read.rules == (("head/.*", "head"), (".*", "trunk")) and read.is_locked
  with pytest.raises(AttributeError):
    read.train.bach = 3


def test_the_difference_of_a_config_and_its_file_is_empty(tiny_config):
  assert configs.difference(configs.from_json(configs.to_json(tiny_config)), tiny_config) == []


def test_the_difference_shows_what_moves_a_figure_and_no_more(tiny_config):
  new = tiny_config.copy_and_resolve_references()
  new.update(data=dict(workers=3, tfds_dir="/x"), log=dict(progress=True), features=dict(dir="/y", cache=False))
  new.train.update(log_every=5, batch=4)
  new.groups.head.lr = 0.5
  assert configs.difference(tiny_config, new) == ["groups.head.lr: 0.01 -> 0.5", "train.batch: 8 -> 4"]


@pytest.mark.parametrize(("updates", "kind", "usual"), [({"sampler": "balanced"}, "multi", "'shuffle'"),
                                                        ({"shots": 2}, "regression", "0")])
def test_what_goes_by_classes_needs_a_task_with_classes(updates, kind, usual, tmp_path):
  config = tiny.make_config(tmp_path / "clips.csv", tmp_path, data=updates)
  with config.unlocked():
    config.tasks = {"ef": {"kind": kind}}
  with pytest.raises(ConfigError, match=rf"goes by classes(.|\n)*'ef': '{kind}'(.|\n)*leave it at {usual}"):
    configs.check(config)
  with config.unlocked():
    config.tasks = {"ef": {"kind": kind}, "grade": {"kind": "ordinal"}}
  configs.check(config)
