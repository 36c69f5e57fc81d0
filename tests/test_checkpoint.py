"""Checkpoints that cannot lie: a digest of every file, fall-back to an older step, never a silent start from zero."""
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vft import checkpoint, stages
from vft.errors import RunError, WeightsError
from vft.saver import Saver
from vft.train import TrainState


def arrays(value):
  return {"params": {"head/label/kernel": jnp.full((4, 3), float(value))}, "batch_stats": {},
          "opt_state": {"0000": jnp.zeros((), jnp.int32)}}


def fill(folder, steps=(1, 2, 3), scores=(0.1, 0.9, 0.5)):
  store = checkpoint.Checkpoints(folder)
  for step, score in zip(steps, scores, strict=True):
    store.save(step, arrays(step), {"base": "x"}, score)
  store.close()


def damage(folder, step):
  """Flips one bit of the largest file of a step."""
  path = max((p for p in (folder / str(step)).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def test_newest_two_and_the_best_are_kept(tmp_path):
  fill(tmp_path, steps=(1, 2, 3, 4), scores=(0.1, 0.9, 0.5, 0.2))
  store = checkpoint.Checkpoints(tmp_path)
  assert sorted(int(p.name) for p in tmp_path.glob("[0-9]*")) == [2, 3, 4]
  assert (store.newest(), store.best(), store.metadata(4)) == (4, 2, {"base": "x"})
  np.testing.assert_array_equal(store.restore(4, arrays(0))["params"]["head/label/kernel"], np.full((4, 3), 4.0))


def test_steps_saved_without_a_score_are_never_best(tmp_path):
  store = checkpoint.Checkpoints(tmp_path)
  store.save(1, arrays(1), {}, 0.1)
  store.save(2, arrays(2), {}, None)
  assert (store.newest(), store.best()) == (2, 1)


@pytest.mark.fault("F37", "one bit flipped", "set aside as damaged-3; older step used")
def test_flipped_bit_is_found_and_the_older_step_is_used(tmp_path, caplog):
  fill(tmp_path)
  damage(tmp_path, 3)
  with caplog.at_level(logging.WARNING):
    assert checkpoint.Checkpoints(tmp_path).newest() == 2
  assert "step 3 set aside as damaged-3: changed or missing" in caplog.text
  assert (tmp_path / "damaged-3").is_dir()


def test_a_step_damaged_twice_is_set_aside_twice(tmp_path):
  fill(tmp_path)
  for _ in range(2):
    damage(tmp_path, 3)
    store = checkpoint.Checkpoints(tmp_path)
    assert store.newest() == 2
    store.save(3, arrays(3), {}, 0.5)
  assert {p.name for p in tmp_path.glob("damaged*")} == {"damaged-3", "damaged-3-2"}


@pytest.mark.fault("F36", "metadata cut, manifest.ocdbt deleted", "set aside with a warning")
@pytest.mark.fault("F38", "all steps damaged", "exit 4, never a silent start from zero")
def test_cut_metadata_and_lost_files_are_found(tmp_path):
  fill(tmp_path)
  (tmp_path / "3" / "_CHECKPOINT_METADATA").write_text("{")
  next((tmp_path / "2").rglob("manifest.ocdbt")).unlink()
  with pytest.raises(WeightsError, match="Every checkpoint"):
    damage(tmp_path, 1) if (tmp_path / "1").exists() else None
    checkpoint.Checkpoints(tmp_path)


@pytest.mark.fault("F34", "step without its digests", "older step used")
def test_kill_before_the_digests_leaves_the_older_step(tmp_path):
  fill(tmp_path, steps=(1, 2), scores=(0.1, 0.2))
  (tmp_path / "2" / checkpoint.DIGESTS).unlink()
  assert checkpoint.Checkpoints(tmp_path).newest() == 1


def test_kill_before_the_first_digests_starts_from_zero(tmp_path):
  fill(tmp_path, steps=(1,), scores=(0.1,))
  (tmp_path / "1" / checkpoint.DIGESTS).unlink()
  assert checkpoint.Checkpoints(tmp_path).newest() is None


@pytest.mark.fault("F33", "disk too small for a run's checkpoints", "exit 5 before the first step")
@pytest.mark.parametrize("ema, mb", [({}, "12,000,000"), ({"head": 0}, "16,000,000")])
def test_a_disk_without_room_is_found_before_the_first_step(tmp_path, ema, mb):
  params = {name: jax.ShapeDtypeStruct((1000, 10**9), jnp.float32) for name in ("head", "loaded")}  # 4 TB each
  tx = optax.multi_transform({"head": optax.adam(0.1), "loaded": optax.set_to_zero()}, {name: name for name in params})
  stage = stages.Stage(0, 0, 10, frozenset({"head"}), (), frozenset(), None, tx)
  saver = Saver(tmp_path, [stage], dict.fromkeys(params, 0), frozenset({"loaded"}), {})
  with pytest.raises(RunError, match=f"take {mb}[.0-9]* MB each.* are free at {tmp_path}"):
    saver.check_room(TrainState(jnp.zeros((), jnp.int32), params, {}, None, ema))
  saver.store.check_room(1000)
  assert not list(tmp_path.glob("[0-9]*"))


def test_other_shapes_are_an_error_that_names_both(tmp_path):
  fill(tmp_path)
  like = arrays(0)
  like["params"]["head/label/kernel"] = jnp.zeros((4, 7))
  with pytest.raises(WeightsError, match=r"kernel: in the checkpoint \(4, 3\), in the model \(4, 7\)"):
    checkpoint.Checkpoints(tmp_path).restore(3, like)


def test_pack_keeps_what_trains_and_gives_the_optimiser_back():
  params = {"head/kernel": jnp.ones((2, 2)), "stem/kernel": jnp.ones(5)}
  state = optax.adam(0.1).init(params)
  packed = checkpoint.pack(params, {"stem/mean": jnp.ones(5)}, state, frozenset({"head/kernel"}))
  assert list(packed["params"]) == ["head/kernel"] and not packed["batch_stats"]
  again = checkpoint.unpack_opt_state(state, packed["opt_state"])
  assert json.dumps(str(again)) == json.dumps(str(state))
