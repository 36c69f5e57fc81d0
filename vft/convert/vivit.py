"""ViViT as transformers writes it (names in files and, since version 5, others in memory) and as Scenic does -> ours.

Scenic's names are those of the script that made transformers' weights (convert_vivit_flax_to_pytorch.py) and of
scenic/projects/vivit/model.py; no published file was seen. The factorised encoder is vivit_fe.py's. An image ViT under
the same names (Scenic's ViT, transformers' `vit.`) is loaded too: its kernel is inflated and its positions are repeated
over time, as in arXiv:2103.15691, sec. 3.4.
"""
import numpy as np

from vft.convert.rules import Rule, same, torch_layer, torch_norm, undone_by

SPACE = 14  # of the published 224 x 224 pixels

TORCH = r"(?:module\.|model\.|vivit\.|vit\.|embeddings\.)*"
EMBED = TORCH + r"(?:vivit\.embeddings\.)?"
LAYER = TORCH + r"(?:vivit\.)?(?:encoder\.layer|layers)\.(\d+)\."
FLAX = r"(?:(?:optimizer/)?target/|params/)?"
HEAD = 64  # channels of a head, of every published size


@undone_by(lambda array: array[None, None])
def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, D) -> (D,)."""
  return array.reshape(-1)


@undone_by(lambda array: array.reshape(-1, HEAD))
def bias_of_heads(array: np.ndarray) -> np.ndarray:
  """(heads, D / heads) -> (D,)."""
  return array.reshape(-1)


@undone_by(lambda array: array.reshape(len(array), -1, HEAD))
def to_heads(array: np.ndarray) -> np.ndarray:
  """(D, heads, D / heads) -> (D, D)."""
  return array.reshape(len(array), -1)


@undone_by(lambda array: array.reshape(-1, HEAD, array.shape[-1]))
def from_heads(array: np.ndarray) -> np.ndarray:
  """(heads, D / heads, D) -> (D, D)."""
  return array.reshape(-1, array.shape[-1])


@undone_by(lambda parts: np.concatenate([parts[0][None], parts[1].reshape(-1, parts[0].size)])[None])
def positions(array: np.ndarray) -> list[np.ndarray]:
  """(1, 1 + T'S'S', D) -> the class token's (D,) and (T', S', S', D).

  The file holds only the number: S' is the published 14 where that divides it, else that which is most like a cube.
  Where the guess is wrong, but the number that of the model, convert.surgery takes the model's grid.
  """
  array = array.reshape(array.shape[-2:])
  n, d = len(array) - 1, array.shape[-1]
  sides = [s for s in range(1, n + 1) if n % (s * s) == 0]
  side = SPACE if SPACE in sides else min(sides, key=lambda s: abs(np.log(n / s**3)))
  return [array[0], array[1:].reshape(n // side**2, side, side, d)]


def scenic_encoder(theirs: str, ours: str) -> tuple[Rule, ...]:
  """Rules for the blocks and the last norm of Scenic's `Encoder`; `ours` stands before the names of ours."""
  block, mine = theirs + r"/encoderblock_(\d+)/", ours + r"block_\1/"
  attention = block + "MultiHeadDotProductAttention_0/"
  projections = [rule for x in ("query", "key", "value") for rule in (
      (attention + x + "/kernel", f"{mine}attention/{x[0]}/kernel", to_heads),
      (attention + x + "/bias", f"{mine}attention/{x[0]}/bias", bias_of_heads))]
  parts = ("LayerNorm_0", "norm1"), ("LayerNorm_1", "norm2"), ("MlpBlock_0/Dense_0", "mlp/fc1"), (
      "MlpBlock_0/Dense_1", "mlp/fc2")
  return (*projections,
          (attention + "out/kernel", f"{mine}attention/out/kernel", from_heads),
          (attention + "out/bias", f"{mine}attention/out/bias", same),
          *((f"{block}{x}/(kernel|scale|bias)", rf"{mine}{y}/\2", same) for x, y in parts),
          (theirs + "/encoder_norm/(scale|bias)", rf"{ours}norm/\1", same))


RULES: tuple[Rule, ...] = (
    *torch_layer(EMBED + r"patch_embeddings\.projection", "embed"),
    (EMBED + r"cls_token", "embed/cls_token", vector),
    (EMBED + r"position_embeddings", ("embed/cls_position", "embed/pos_joint"), positions),
    *torch_norm(LAYER + r"layernorm_before", r"block_\1/norm1"),
    *torch_norm(LAYER + r"layernorm_after", r"block_\1/norm2"),
    *(rule for x in ("query", "key", "value") for rule in torch_layer(
        LAYER + rf"attention\.(?:attention\.)?(?:{x}|{x[0]}_proj)", rf"block_\1/attention/{x[0]}")),
    *torch_layer(LAYER + r"attention\.(?:output\.dense|o_proj)", r"block_\1/attention/out"),
    *torch_layer(LAYER + r"(?:intermediate\.dense|mlp\.fc1)", r"block_\1/mlp/fc1"),
    *torch_layer(LAYER + r"(?:output\.dense|mlp\.fc2)", r"block_\1/mlp/fc2"),
    *torch_norm(TORCH + r"(?:vivit\.)?layernorm", "norm"),
    *torch_layer(TORCH + r"classifier", "head/label"),
    (TORCH + r"pooler\..*", (), same),
    # Scenic
    (FLAX + r"embedding/(kernel|bias)", r"embed/\1", same),
    (FLAX + r"cls", "embed/cls_token", vector),
    (FLAX + r"Transformer/posembed_input/pos_embedding", ("embed/cls_position", "embed/pos_joint"), positions),
    *scenic_encoder(FLAX + "Transformer", ""),
    (FLAX + r"output_projection/(kernel|bias)", r"head/label/\1", same),
    (r"optimizer/state/.*", (), same),
)
