"""Thawing by stages, averages of the weights and early stopping, in whole runs of a trunk of two convolutions."""
import json
from pathlib import Path

import pytest

from tests import tiny
from tests.tiny_net import TinyNet
from vft import models, run

GROUPS = dict(trunk=dict(train=False), last=dict(train=True, lr=1e-3, schedule="linear"),
              head=dict(train=True, lr=1e-2, wd=0.1))
RULES = (("head/.*", "head"), ("last/.*", "last"), (".*", "trunk"))
STAGES = ((2, ("last",)),)


class Halt(Exception):
  """Asked for by a test."""


@pytest.fixture(autouse=True)
def tiny_net(monkeypatch):
  monkeypatch.setitem(models.FAMILIES, "tiny_net", TinyNet)


def make(csv, folder, *, groups=GROUPS, rules=RULES, **updates):
  updates["train"] = dict(batch=8, epochs=4, log_every=1) | updates.get("train", {})
  config = tiny.make_config(csv, folder, model=dict(name="tiny_net", variant=""), **updates)
  with config.unlocked():
    config.groups, config.rules = groups, rules
  return config


def steps_of(folder: Path, split="train"):
  lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
  return [line["step"] for line in lines if line["split"] == split]


def test_smoke(tiny_csv, tmp_path):
  config = make(tiny_csv, tmp_path, train=dict(stages=STAGES, ema=0.9))
  result = run.run(config, tmp_path / "run")
  print((tmp_path / "run/params.txt").read_text())
  print(result["cost"])
