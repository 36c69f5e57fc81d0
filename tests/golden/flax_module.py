"""An original that is written in flax, as the torch module that make.py takes; its arrays keep their names of flax."""
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch

Arrays = dict[str, Any]  # "params/embedding/kernel": values
Outputs = tuple[Any, Any]


class FlaxModule(torch.nn.Module):
  """`run(arrays, video)`, in jax, gives logits and mid; `shapes` are those of the arrays."""

  def __init__(self, run: Callable[[Arrays, Any], Outputs], shapes: Mapping[str, tuple[int, ...]]):
    super().__init__()
    for name, shape in shapes.items():
      self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))
    self.run = jax.jit(run)

  def forward(self, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    names, values = zip(*self.named_parameters(), strict=True)
    return Call.apply(lambda video, *arrays: self.run(dict(zip(names, arrays, strict=True)), video), video, *values)


class Call(torch.autograd.Function):
  """A function of jax with its gradient."""

  @staticmethod
  def forward(ctx: Any, run: Callable[..., Outputs], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    out, ctx.back = jax.vjp(run, *(x.detach().numpy() for x in tensors))
    return tuple(torch.from_numpy(np.array(x)) for x in out)

  @staticmethod
  def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return None, *(torch.from_numpy(np.array(x)) for x in ctx.back(tuple(x.numpy() for x in slopes)))

