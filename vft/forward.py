"""From a batch (clips or cached tokens) to logits, on the device: crop or augment, normalise, trunk, head."""
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from vft import lora, preprocess, trees
from vft.data import augment
from vft.data.augment import mix

Flat = Mapping[str, Any]
CPU_PIXELS = 800_000  # frames x height x width that pass a trunk at once, per CPU device: four clips of 16 x 112 x 112


class Pixels(NamedTuple):
  """How decoded pixels become input. Hashable: it is static in jit."""
  size: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  seed: int
  augment: augment.Augment | None
  channels: int = 3


def make_pixels(config: ConfigDict, model: Any) -> Pixels:
  """What `config.data` and `config.augment` ask for, with the input statistics of the model."""
  mean, std = tuple(model.mean), tuple(model.std)
  if config.data.channels == 1:
    mean, std = (sum(mean) / 3,), (sum(std) / 3,)
  return Pixels(config.data.size, mean, std, config.seed, augment.make(config.augment), config.data.channels)


def inputs(batch: Flat, pixels: Pixels, train: bool) -> jax.Array:
  """Video (B, V, T, R, R, 3) uint8 -> (B V, T, S, S, C) float32; augmented by (row, copy) when `train`.

  With batch["mix"], from `mix.draw`, the clips are mixed as well; whoever drew it mixes the labels.
  """
  b, v, *frame = batch["video"].shape
  video = preprocess.to_float(batch["video"].reshape(b * v, *frame))
  if train and pixels.augment is not None:
    rows, copies = (jnp.repeat(batch[k], v) for k in ("row", "copy"))
    video = augment.augment(video, rows, copies, seed=pixels.seed, size=pixels.size, how=pixels.augment)
  else:
    video = preprocess.centre_crop(video, pixels.size)
  if "mix" in batch:
    video = mix.mix_video(batch["mix"], video.reshape(b, v, *video.shape[1:])).reshape(video.shape)
  if pixels.channels == 1:
    video = video.mean(axis=-1, keepdims=True)
  return preprocess.normalise(video, pixels.mean, pixels.std)


def view_chunks(batch: Flat, chunk: int) -> Iterator[dict[str, Any]]:
  """The same clips, at most `chunk` of their views at a time, so that any number fits the memory; 0 = all at once."""
  name = "tokens" if "tokens" in batch else "video"
  views = batch[name].shape[1]
  for start in range(0, views, chunk or views):
    yield {**batch, name: batch[name][:, start:start + (chunk or views)]}


def clip_parts(batch: Flat) -> Iterator[Flat]:
  """The same batch, on CPUs a few clips at a time: hardly slower (measured), and the memory is that of a few clips."""
  count = len(batch["row"])
  size = count
  if "video" in batch and jax.default_backend() == "cpu":
    pixels = math.prod(batch["video"].shape[1:5])  # of a clip and all its views
    most = max(1, CPU_PIXELS // pixels)
    devices = jax.local_device_count()  # the batch is this process's part
    size = devices * max(k for k in range(1, most + 1) if k == 1 or count % (k * devices) == 0)
  for start in range(0, count, size):
    yield jax.tree.map(operator.itemgetter(slice(start, start + size)), batch)


def variables(model: Any, params: Flat, stats: Flat) -> dict[str, Any]:
  """Flat parameters, LoRA's among them, and BatchNorm statistics -> what linen's apply takes."""
  return {"params": trees.unflatten(lora.fold(params, model.lora_alpha)), "batch_stats": trees.unflatten(stats)}


def pooled_tokens(model: nn.Module, params: Flat, stats: Flat, batch: Flat, pixels: Pixels, train: bool) -> jax.Array:
  """Clips -> tokens (B, V, N, D), pooled as far as the head allows; `train` augments, the trunk is in eval mode."""
  b, v = batch["video"].shape[:2]
  def pooled(m, video):
    return m.pool(*m.features(video))
  tokens: Any = model.apply(variables(model, params, stats), inputs(batch, pixels, train), method=pooled)
  return tokens.reshape(b, v, *tokens.shape[1:])


def logits(model: nn.Module, params: Flat, stats: Flat, batch: Flat, pixels: Pixels, *, train: bool = False,
           train_trunk: bool = False, rng: jax.Array | None = None) -> tuple[dict[str, jax.Array], Flat]:
  """Batch -> {task: (B, V, K)}, of moments (B, V, S, K), and the BatchNorm statistics after it.

  Args:
    batch: with "video" (B, V, T, R, R, 3) or cached "tokens" (B, V, N, D); of sequences also "present" (B, V, N).
    train: augmentation and the head's dropout.
    train_trunk: whether some of the trunk trains; a frozen one runs in eval mode.
    rng: key of dropout and drop path.
  """
  rngs = {} if rng is None else {"dropout": rng}
  if "tokens" in batch:
    b, v, n, d = batch["tokens"].shape
    present = batch["present"].reshape(b * v, n) if "present" in batch else None
    out: Any = model.apply(variables(model, params, stats), batch["tokens"].reshape(b * v, n, d), (n, 1, 1), train,
                           present, rngs=rngs, method="head")
  else:
    b, v = batch["video"].shape[:2]
    def run(m, video):
      return m.head(*m.features(video, train and train_trunk), train)
    new: Any
    out, new = model.apply(variables(model, params, stats), inputs(batch, pixels, train), rngs=rngs, method=run,
                           mutable=["batch_stats"])
    stats = {**stats, **trees.flatten(new.get("batch_stats", {}))}
  return {task: x.reshape(b, v, *x.shape[1:]) for task, x in out.items()}, stats
