"""Videos that look alike though their bytes differ: encoded again, scaled, of another container."""
from collections.abc import Sequence

import numpy as np

from vft.check.looks import BITS

# Share of differing bits of four 16 x 16 perceptual hashes. Measured on 600 simulated echo cines, which are much alike:
# of 179,000 pairs of different patients the nearest is 0.125 apart, one in 10,000 below 0.172. Encoded again at crf 35,
# half and double size, half rate, MPEG-4 part 2 and VP9, 1 of 360 is further than this from its original (0.119).
NEAR = 0.11
BLOCK = 1024  # rows compared at once


def near_pairs(hashes: Sequence[str], near: float = NEAR) -> list[tuple[int, int, float]]:
  """Hexadecimal hashes of one length, or "" -> (i, j, share of differing bits) of all pairs i < j below `near`.

  Of the frames that have content in both videos, which must be half of them. Compares all pairs as products of +1 and
  -1: 20,000 videos are 200 million pairs.
  """
  there = [i for i, h in enumerate(hashes) if h]
  if len(there) < 2:
    return []
  packed = np.frombuffer(bytes.fromhex("".join(hashes[i] for i in there)), np.uint8)
  frames = np.unpackbits(packed).reshape(len(there), -1, BITS * BITS)  # (N, frames, bits)
  content = np.asarray(frames.any(axis=2), np.float32)  # without it all bits of a frame are 0
  signs = ((2 * frames.astype(np.float32) - 1) * content[..., None]).reshape(len(there), -1)
  half, found = frames.shape[1] / 2, []
  for start in range(0, len(there), BLOCK):
    shared = content[start:start + BLOCK] @ content[start:].T  # frames: (block, N - start)
    bits = BITS * BITS * np.maximum(shared, 1)
    apart = (bits - signs[start:start + BLOCK] @ signs[start:].T) / (2 * bits)
    for i, j in np.argwhere((apart < near) & (shared >= half)):
      if i < j:
        found.append((there[start + i], there[start + j], round(float(apart[i, j]), 4)))
  return found
