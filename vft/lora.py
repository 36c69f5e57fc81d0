"""LoRA (arXiv:2106.09685): a kernel W (..., C, D) that is frozen becomes W + alpha / rank * a b; only a and b train.

The product is folded into the kernel before the model is applied, so that a kernel of any layer will do and a merged
model costs nothing more. Optimiser and checkpoint hold a and b, but their gradient passes through that of W: a step of
VideoMAE-S (rank 8) takes 3.6 % more FLOPs than x a b beside x W would with the kernels of q and v, 22 % with all.
"""
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vft.errors import ConfigError, some

PREFIX = "lora/"


def make(params: Mapping[str, Any], config: ConfigDict) -> dict[str, np.ndarray]:
  """{"lora/<kernel>/a": (C, rank) normal, "lora/<kernel>/b": (rank, D) zeros} of the kernels that config.lora names.

  A kernel of a convolution (t, h, w, C, D) counts as (t h w C, D). {} where the rank is 0. Values depend on the seed
  and the kernel's name alone. Raises ConfigError where a target matches no kernel of the trunk, or no kernel only.
  """
  rank, leaves = config.lora.rank, {}
  for name in _targets(params, config.lora.targets) if rank else ():
    *inputs, outputs = np.shape(params[name])
    rows, rng = int(np.prod(inputs)), np.random.default_rng((config.seed, zlib.crc32(name.encode())))
    leaves[f"{PREFIX}{name}/a"] = rng.normal(0, (2 / rows) ** 0.5, (rows, rank)).astype(np.float32)  # He's
    leaves[f"{PREFIX}{name}/b"] = np.zeros((rank, outputs), np.float32)
  return leaves


def _targets(params: Mapping[str, Any], patterns: tuple[str, ...]) -> list[str]:
  trunk = [name for name in params if not name.startswith("head/")]
  kernels = [name for name in trunk if name.split("/")[-1] == "kernel" and np.ndim(params[name]) > 1]
  for pattern in patterns:
    found = [name for name in trunk if re.fullmatch(pattern, name)]
    wrong = [name for name in found if name not in kernels]
    if wrong or not found:
      raise ConfigError(f"config.lora.targets has {pattern!r}, which matches "
                        f"{f'what is no kernel:{chr(10)}{some(wrong)}' if wrong else 'nothing of the trunk.'}\n"
                        f"Its kernels are\n{some(kernels)}")
  return [name for name in kernels if any(re.fullmatch(pattern, name) for pattern in patterns)]


def check(config: ConfigDict, trained: Iterable[str]) -> None:
  """Raises ConfigError where there is LoRA and none of it trains."""
  if config.lora.rank and not any(name.startswith(PREFIX) for name in trained):
    raise ConfigError(f"config.lora.rank is {config.lora.rank}, but none of the groups of LoRA's parameters trains:\n"
                      'add a group and, before the others, its rule: c.groups = {**c.groups, "lora": dict(train=True, '
                      'lr=1e-3)}; c.rules = (("lora/.*", "lora"), *c.rules). Or set the rank to 0.')


def fold(params: Mapping[str, Any], alpha: float) -> dict[str, Any]:
  """The parameters without LoRA's leaves, whose products are added to the kernels; the same where there are none."""
  folded = {name: x for name, x in params.items() if not name.startswith(PREFIX)}
  for a_name in (name for name in params if name.startswith(PREFIX) and name.endswith("/a")):
    name = a_name.removeprefix(PREFIX).removesuffix("/a")
    a, b = params[a_name], params[f"{PREFIX}{name}/b"]
    # Exact on all devices, or a merged model would not be the one that was trained.
    product = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    folded[name] = folded[name] + (alpha / a.shape[1] * product).reshape(np.shape(folded[name]))
  return folded


def block_of(name: str) -> str:
  """The block, or "head", to which a parameter belongs: "block_03" of "block_03/..." and of "lora/block_03/..."."""
  return name.removeprefix(PREFIX).split("/")[0]
