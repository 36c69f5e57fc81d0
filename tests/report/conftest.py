"""A real headless Chromium, and folders of finished runs: real videos and files, invented predictions."""
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from vft import controls, evaluate, predict, results
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences
from vft.progress import Clock

HOSTILE = {"fast": 'fast <script>alert(1)</script> $a_b$ "quoted" & long', "slow": "<img src=x onerror=alert(2)>slow"}
FACTS = {"steps": 6, "best_step": 4, "skipped": 1, "step_memory_gib": 0.1, "trained_parameters": 1234}


@pytest.fixture(scope="session")
def browser():
  """Debian's Chromium, driven by playwright; without one the tests are skipped, in CI they fail."""
  program = shutil.which("chromium")
  if program is None:
    if os.environ.get("CI") == "true":
      pytest.fail("CI has no chromium; .ci/run must install it: apt-get install chromium")
    pytest.skip("needs chromium: apt-get install chromium")
  from playwright.sync_api import sync_playwright
  with sync_playwright() as driver:
    opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=180_000)
    yield opened
    opened.close()


def finish(folder, config):
  """Writes what a run of `config` leaves, with outputs drawn at random, and returns the folder."""
  folder.mkdir()
  workdirs.write_config(folder / "config.json", config)
  plain, rng = manifests.make_manifest(config), np.random.default_rng(0)
  plain.save(folder / "manifest.csv")
  manifest = sequences.make(plain, config)
  found = {}
  for split in ("val", "test"):
    rows = manifest.rows(split)
    outputs = {t.name: rng.normal(50, 10, (len(rows), 1)) if t.kind == "regression" else
               rng.dirichlet(np.ones(len(t.classes)), len(rows)) for t in manifest.tasks}
    found[split] = evaluate.Predictions(rows, {k: x.astype(np.float32) for k, x in outputs.items()})
    predict.write_predictions(folder / f"predictions_{split}.csv", found[split], manifest)
  usual = controls.majority(manifest, "test")
  compared = {"majority": {**evaluate.figures(usual, manifest, config),
                           "difference": evaluate.differences(found["test"], usual, manifest, config)}}
  results.write(found, manifest, config, folder, Clock(), FACTS, controls=compared)
  workdirs.write_json(folder / "env.json", workdirs.environment())
  (folder / "skipped.csv").write_text("row,id,path,reason\n3,x,x.mp4,cannot be decoded: at 3 s\n")
  (folder / "params.txt").write_text("What trains\n\n group  parameters\n head   1,234\n")
  lines = [{"step": s, "split": split, "loss": 1 / s, "accuracy": s / 9, "clips_per_s": 12.5}
           for s in (2, 4, 6) for split in ("train", "val")]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
  return folder


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
  """Folders of two runs on the same clips that differ in their rate; the labels are HOSTILE."""
  folder = tmp_path_factory.mktemp("two")
  clips = tiny.make_csv(folder)
  pd.read_csv(clips).replace({"label": HOSTILE}).to_csv(clips, index=False)
  made = []
  for name, lr in (("one", 1e-2), ("two", 1e-4)):
    config = tiny.make_config(clips, folder / "config", report=dict(write=True, clips=4),
                              data=dict(split=(0.3, 0.4, 0.3)))  # of validation 4 patients and more, for sets
    config.groups.head.lr = lr
    made.append(finish(folder / name, config))
  return made


@pytest.fixture(scope="session")
def tasks_run(two_runs, tmp_path_factory):
  """A run with one task of every kind, some labels missing."""
  folder, clips = tmp_path_factory.mktemp("tasks"), two_runs[0].parent
  table = pd.read_csv(clips / "clips.csv")
  fast = table.label == HOSTILE["fast"]
  places = np.arange(len(table))
  table = table.drop(columns="label").assign(
      speed=np.where(fast, "fast", "slow"), EF=np.where(places % 5 == 4, "", np.where(fast, 60, 40) + places % 3),
      grade=np.where(places % 6 == 0, 1, 2 * fast), tags=np.where(places % 7 == 0, "", np.where(fast, "a|b", "-")))
  table.to_csv(folder / "clips.csv", index=False)
  config = tiny.make_config(folder / "clips.csv", folder / "config", data=dict(root=str(clips)),
                            report=dict(write=True, limits="Only for <tests>.", clips=4))
  config.tasks = dict(speed=dict(kind="single"), ef=dict(kind="regression", column="EF"),
                      grade=dict(kind="ordinal"), tags=dict(kind="multi"))
  return finish(folder / "run", config)
