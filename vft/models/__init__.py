"""One way to a model: `make(name, ...)`. A family is one file here, one in `vft/convert` and one line in FAMILIES."""
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from vft.errors import ConfigError, did_you_mean
from vft.models import heads, pooling
from vft.models.convnext import ConvNeXt
from vft.models.efficientnet_lite import EfficientNetLite
from vft.models.i3d import I3D
from vft.models.mvit import MViT
from vft.models.panecho import PanEcho
from vft.models.resnet import ResNet
from vft.models.s3d import S3D
from vft.models.slow import Slow
from vft.models.slowfast import SlowFast
from vft.models.swin import VideoSwin
from vft.models.timesformer import TimeSformer
from vft.models.vgg16 import VGG16
from vft.models.video_model import POLICIES, VideoModel
from vft.models.video_resnet import VideoResNet
from vft.models.videomae import VideoMAE
from vft.models.videoprism import VideoPrism
from vft.models.vit import ViT
from vft.models.vivit import ViViT
from vft.models.vivit_fe import ViViTFE
from vft.models.vjepa2 import VJEPA2
from vft.models.x3d import X3D

FAMILIES: dict[str, type[VideoModel]] = {
    "efficientnet_lite": EfficientNetLite,
    "i3d": I3D,
    "videomae": VideoMAE,
    "video_resnet": VideoResNet,
    "vit": ViT,
    "resnet": ResNet,
    "vgg16": VGG16,
    "timesformer": TimeSformer,
    "vivit": ViViT,
    "vivit_fe": ViViTFE,
    "videoprism": VideoPrism,
    "mvit": MViT,
    "swin": VideoSwin,
    "vjepa2": VJEPA2,
    "slow": Slow,
    "slowfast": SlowFast,
    "x3d": X3D,
    "convnext": ConvNeXt,
    "panecho": PanEcho,
    "s3d": S3D,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make(name: str, *, variant: str = "", num_classes: int = 0,
         tasks: Mapping[str, int] | Sequence[tuple[str, int]] | None = None, head: str = "linear", pool: str = "",
         temporal: str = "mean", hidden: Sequence[int] = (256, 128), dropout: float = 0.0, depth: int = 1,
         stages: int = 1, unit: str = "clip", kinds: Mapping[str, str] | None = None,
         mean: Sequence[float] = (), std: Sequence[float] = (), dtype: str = "float32", bn: str = "stored",
         trained_blocks: Sequence[str] = (), drop_path: float = 0.0, remat: str = "none", lora_alpha: float = 16.0,
         **options: Any) -> VideoModel:
  """A linen module: `features`, `pool`, `head` and `__call__` (video -> {task: logits (B, K)}).

  Args:
    name, variant: family and size; variant "" is the family's default, "tiny" is for tests.
    num_classes: classes of the one task "label", instead of `tasks`; 0 with head="original" is the published number.
    tasks: {task: classes}.
    head: linear | mlp | attentive | transformer | tcn, see `pooling.Spec`; "original" is the published classifier.
    pool, temporal, hidden, dropout, depth: of the head, see `pooling.Spec`; pool "" is what the published one does.
    unit, stages, kinds: see `pooling.Spec`.
    mean, std: of the input's pixels in 0..1; () are the published ones.
    dtype: of the arithmetic, float32 | bfloat16; parameters and logits stay float32.
    bn: stored | batch | estimate, see `layers.batch_norm`.
    trained_blocks: the blocks that bn="batch" and drop_path are about.
    drop_path: in training a residual branch is left out at this rate (the last; the first never), see `block_drop`.
    remat: none | blocks | dots, see `VideoModel.rematted`.
    lora_alpha: see vft.lora.
    options: of the family, such as tsm=True.

  Raises: ConfigError for a name that is not known, with those that are.

  >>> import jax
  >>> model = make("videomae", variant="tiny", num_classes=3)
  >>> video = jax.numpy.zeros((2, 8, 56, 56, 3))  # (B, T, H, W, 3)
  >>> jax.eval_shape(model.init_with_output, jax.random.key(0), video)[0]
  {'label': ShapeDtypeStruct(shape=(2, 3), dtype=float32)}
  """
  family = FAMILIES[_known("model.name", name, FAMILIES)]
  _known("model.variant", variant, family.variants)
  _known("model.dtype", dtype, DTYPES)
  _known("sequence.unit", unit, heads.HEADS)
  _known("model.bn", bn, ("stored", "batch", "estimate"))
  _known("model.remat", remat, ("none", *POLICIES))
  if drop_path and not family.residual:
    fitting = ", ".join(other for other, kind in FAMILIES.items() if kind.residual)
    raise ConfigError(f"model.drop_path is {drop_path}, but {name} has no residual branches that could be left out: "
                      f"set it to 0. Families that have: {fitting}.")
  for option in options:
    _known("model.options", option, family.options)
  if not 0 <= dropout < 1:
    raise ConfigError(f"model.dropout is {dropout}; it is a probability: 0 <= dropout < 1.")
  if head == "original":
    spec = family.original._replace(dropout=dropout)
  else:
    usual = "mean" if family.original.pool == "windows" else family.original.pool
    _known("model.head", head, (*pooling.KINDS, "original"))
    _known("model.pool", pool or usual, pooling.POOLS)
    _known("model.temporal", temporal, pooling.TEMPORAL)
    spec = pooling.Spec(head, pool or usual, temporal, tuple(hidden), dropout, depth, family.original.norm,
                        unit, stages, tuple((kinds or {}).items()))
  published = family.statistics(variant)
  tasks = _tasks(tasks, num_classes, family.classes if head == "original" else 0)
  model = family(tasks=tasks, variant=variant, spec=spec, mean=tuple(mean) or published[0],
                 std=tuple(std) or published[1], dtype=DTYPES[dtype], bn=bn, trained_blocks=tuple(trained_blocks),
                 drop_path=drop_path, remat=remat, lora_alpha=lora_alpha, **options)
  for block in trained_blocks:
    _known("model.trained_blocks", block, model.blocks)
  return model


def _tasks(tasks, num_classes: int, published: int) -> tuple[tuple[str, int], ...]:
  if tasks and num_classes:
    raise ConfigError(f"Give num_classes={num_classes} (one task, 'label') or tasks={tasks}, not both.")
  pairs = tasks.items() if isinstance(tasks, Mapping) else tasks or ()
  pairs = tuple((str(task), int(classes)) for task, classes in pairs)
  if not pairs:
    pairs = (("label", int(num_classes) or published),)
  for task, classes in pairs:
    if classes < 1:
      raise ConfigError(f"Task {task!r} has {classes} classes; set model.num_classes or tasks={{'{task}': 3}}.")
    if "/" in task or task.startswith(("hidden_", "dropout_", "stage_", "tcn_")) or task in pooling.TAKEN:
      raise ConfigError(f"A task cannot be called {task!r}: its name is part of 'head/<task>/kernel'.")
  return pairs


def _known(field: str, value: str, known) -> str:
  if value not in known:
    raise ConfigError(f"{field} is {value!r}; known: {', '.join(repr(k) for k in known)}{did_you_mean(value, known)}")
  return value
