"""Three epochs over 2,000 clips: memory, open files and processes do not grow, and none of them is left."""
import subprocess
import sys
import time

import psutil
import pytest

from tests import processes, tiny

CLIPS, EPOCHS = 2000, 3


def held(process):
  """(MiB of memory that is not shared, open files, processes) of a process and those below it.

  Files: the least of a second's, since those of the checkpoint that is being written close again.
  """
  tree = [process, *process.children(recursive=True)]
  size, files = sum(p.memory_full_info().uss for p in tree) / 2**20, []
  for _ in range(50):
    files.append(process.num_fds())
    time.sleep(0.02)
  return size, min(files), len(tree)


@pytest.mark.long
def test_three_epochs_over_2000_clips_hold_no_more_than_the_first(tmp_path):
  csv = tiny.make_csv(tmp_path, patients=CLIPS // 4, clips=4)
  config = tiny.write_config_file(tmp_path / "tiny.py", csv, train=dict(epochs=EPOCHS, eval_every=1),
                                  groups=dict(trunk=dict(train=True, lr=1e-4)), data=dict(workers=2))
  workdir, said = tmp_path / "run", tmp_path / "said.txt"
  with said.open("w") as out:
    run = psutil.Popen([sys.executable, "-m", "vft.main", f"--config={config}", f"--workdir={workdir}"],
                       stderr=out, stdout=subprocess.DEVNULL, env=processes.environment())
  found = []
  while len(found) < EPOCHS:
    assert run.poll() is None, said.read_text()
    if len(processes.lines(workdir, "val")) > len(found):
      found.append(held(run))
    time.sleep(0.02)
  below = run.children(recursive=True)
  assert run.wait(timeout=600) == 0, said.read_text()
  print("MiB, open files and processes after each epoch:", *((round(m), *rest) for m, *rest in found))
  assert found[-1][0] < 1.05 * found[0][0] and found[-1][1:] <= found[0][1:]
  assert not psutil.wait_procs(below, timeout=10)[1]
