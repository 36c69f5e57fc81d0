"""What all families share: `features` (a family's own) makes tokens of a video, a head makes logits of the tokens."""
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops, pooling
from vft.models.heads import HEADS, Spec
from vft.models.normalisation import HALF, Statistics

Part = TypeVar("Part", bound=Callable[..., Any])

# Of `remat`: what a block keeps. JAX's policies for products would keep the scores of attention, more than "none" does.
POLICIES = {"blocks": None, "dots": jax.checkpoint_policies.save_only_these_names(ops.PRODUCT)}


class VideoModel(nn.Module):
  """Video (B, T, H, W, 3), normalised -> {task: logits (B, K)} float32. A family writes `features` and `blocks`.

  `features` is its one compact method; the top names of its parameters are its blocks, each named outright.
  """
  tasks: tuple[tuple[str, int], ...] = (("label", 2),)
  variant: str = ""
  spec: Spec = Spec()
  mean: tuple[float, ...] = (0.5, 0.5, 0.5)  # of pixels in 0..1, as the weights expect them
  std: tuple[float, ...] = (0.5, 0.5, 0.5)
  dtype: jnp.dtype = jnp.float32
  bn: str = "stored"  # stored | batch | estimate, see layers.batch_norm
  trained_blocks: tuple[str, ...] = ()  # the blocks that bn="batch" and drop_path are about
  drop_path: float = 0.0  # of the last residual block, see `block_drop`
  remat: str = "none"  # none | blocks | dots, see `rematted`
  lora_alpha: float = 16.0  # scale of LoRA's leaves among the parameters, see vft.lora; the module itself has none

  family: ClassVar[str]
  version: ClassVar[int] = 1  # raise it when features change: it is part of the key of cached ones
  variants: ClassVar[dict[str, Any]]  # sizes by name; "" is the default one
  options: ClassVar[tuple[str, ...]] = ()  # fields of the family that model.options may set
  original: ClassVar[Spec] = Spec()  # the published classifier; its `pool` and `norm` are the default of every head
  classes: ClassVar[int] = 0  # of the published classifier; 0 = none is published
  normalisation: ClassVar[Statistics] = HALF  # published, unless it differs by variant
  residual: ClassVar[str] = ""  # part of the names of blocks with residual branches; "" = there are none

  @classmethod
  def statistics(cls, variant: str) -> Statistics:
    """Published mean and deviation of the input, of pixels in 0..1."""
    del variant
    return cls.normalisation

  @property
  def blocks(self) -> tuple[str, ...]:
    """Names of the trunk's blocks, stem to last."""
    raise NotImplementedError

  def setup(self):
    self.classifier = HEADS[self.spec.unit](self.tasks, self.spec, name="head")

  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D), prefix tokens first, and the grid (T', H', W') of the others."""
    raise NotImplementedError

  def pool(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    """Tokens (B, N, D) -> (B, M, D'), all that the head needs: `head(pooled, (M, 1, 1))` gives the same logits."""
    return pooling.pool(self.spec, tokens, grid)

  def head(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False,
           present: jax.Array | None = None) -> dict[str, jax.Array]:
    """Tokens (B, N, D), pooled or not -> {task: (B, K)} float32.

    Where spec.unit is not a clip, the pooled tokens of S clips (B, S, D) -> (B, K) of a patient, of which those clips
    `present` (B, S) count, or (B, S, K) of the moments of a procedure.
    """
    return self.classifier(tokens, grid, train, present)

  def __call__(self, video: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Video (B, T, H, W, C) -> {task: (B, K)} float32; a procedure of one moment: (B, 1, K)."""
    tokens, grid = self.features(video, train)
    if self.spec.unit != "clip":
      tokens, grid = self.pool(tokens, grid), (1, 1, 1)
    return self.head(tokens, grid, train)

  def block_bn(self, block: str) -> str:
    """The `bn` of one block: only trained ones may use statistics of the batch."""
    return self.bn if self.bn == "estimate" or block in self.trained_blocks else "stored"

  def block_drop(self, block: str) -> float:
    """Drop path of one residual block: from 0 at the first to `drop_path` at the last; 0 of one that is frozen."""
    residual = [name for name in self.blocks if self.residual in name]
    share = residual.index(block) / max(len(residual) - 1, 1)
    return self.drop_path * share if block in self.trained_blocks else 0.0

  def rematted(self, part: Part, static: tuple[int, ...] = (2,)) -> Part:
    """A class of blocks, or a method, that keeps less for the backward pass and computes it again (arXiv:1604.06174).

    With remat="blocks" nothing between its input and output is kept, with "dots" the results of products with weights
    and of convolutions. `static` numbers the arguments of its call that are no arrays, self being 0.
    """
    return part if self.remat == "none" else nn.remat(part, policy=POLICIES[self.remat], static_argnums=static)
