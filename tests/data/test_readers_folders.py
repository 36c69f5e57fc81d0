import numpy as np
import pytest
from PIL import Image

from configs import default
from tests.clips import frames
from vft import predict
from vft.data import manifest, readers
from vft.errors import DataError

LIMIT = 10_000_000


def write_folder(folder, video, form="{}.png", first=8):
  """Frames first, first + 1, ...: 10 comes after 9, though not by name."""
  folder.mkdir(parents=True)
  for i, image in enumerate(video):
    Image.fromarray(image).save(folder / form.format(first + i))
  return str(folder)


def numbers(path, *times_s, **how):
  shown = readers.read_clip(path, np.array(times_s), resize=16, max_pixels=LIMIT, **how)
  return [round((int(v) - 20) / 20) for v in shown[:, 8, 8, 0]]


def fault(path, **how):
  with pytest.raises(DataError) as e:
    readers.probe(path, max_pixels=how.pop("max_pixels", LIMIT), **how)
  return str(e.value)


@pytest.mark.parametrize("form", ["{}.png", "frame_{:05d}.jpg", "im{}.BMP"])
def test_images_are_frames_in_natural_order_at_the_given_rate(tmp_path, form):
  path = write_folder(tmp_path / "a", frames(8), form)
  assert numbers(path, 0.0, 0.1, 0.16, 0.5, 9.0, frame_rate=10.0) == [0, 1, 2, 5, 7]
  assert numbers(readers.FrameFolder(path, 2.0), 0.0, 0.5, 1.4) == [0, 1, 3]
  info = readers.probe(path, max_pixels=LIMIT, frame_rate=10.0)
  assert (info.duration_s, info.fps, info.width, info.height) == (pytest.approx(0.8), 10.0, 64, 48)


def test_grey_of_16_bits_is_windowed_as_configured(tmp_path):
  path = write_folder(tmp_path / "a", np.full((2, 48, 64), 1000, np.uint16))
  def level(**how):
    return int(readers.read_clip(path, np.zeros(1), resize=16, max_pixels=LIMIT, frame_rate=1.0, **how)[0, 8, 8, 0])
  assert level() == 4 and level(window=(1000, 2000)) == 128 and level(window=(0, 500)) == 255


def test_pictures_of_phones_and_palettes_come_upright_and_in_colour(tmp_path):
  (tmp_path / "a").mkdir()
  image = Image.fromarray(np.repeat(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 48, axis=1).repeat(24, axis=0))
  exif = Image.Exif()
  exif[0x0112] = 3  # upside down
  image.save(tmp_path / "a/1.png", exif=exif)
  image.convert("P").save(tmp_path / "a/2.png")
  shown = readers.read_clip(str(tmp_path / "a"), np.array([0.0, 1.0]), resize=16, max_pixels=LIMIT, frame_rate=1.0)
  assert shown[0, 2, 8].tolist() == [0, 0, 255] and shown[1, 2, 8].tolist() == [255, 0, 0]


def test_faults_of_a_folder_are_named(tmp_path):
  path = write_folder(tmp_path / "a", frames(3))
  assert fault(path) == "a folder of frames without a frame rate: give --config.data.frame_rate=HZ"
  assert fault(str(tmp_path)) == "a folder without frames (png, jpg, bmp), not a file"
  assert fault(path, frame_rate=5.0, max_pixels=3000) == "frame 64x48 over data.max_pixels 3000"
  data = (tmp_path / "a/10.png").read_bytes()
  (tmp_path / "a/10.png").write_bytes(data[:len(data) - 30])
  assert fault(path, frame_rate=5.0).startswith("frame '10.png' is damaged")
  (tmp_path / "a/9.png").write_text("hello")
  assert fault(path, frame_rate=5.0).startswith("frame '9.png' is no png, jpg or bmp")
  (tmp_path / "a/9.png").unlink()
  (tmp_path / "a/9.png").symlink_to("/etc/passwd")
  assert fault(path, frame_rate=5.0) == "frame '9.png' is a link that leads out of its folder"


def test_a_manifest_may_list_folders(tmp_path):
  lines = ["path,label"]
  for i in range(6):
    write_folder(tmp_path / str(i), frames(4, first=20 + i))
    lines.append(f"{i},{'ab'[i % 2]}")
  (tmp_path / "list.csv").write_text("\n".join(lines))
  config = default.get_config()
  config.data.update(source=f"csv:{tmp_path}/list.csv", num_frames=4, fps=5.0, frame_rate=5.0)
  made = manifest.make_manifest(config)
  assert made.table.duration_s.tolist() == pytest.approx([0.8] * 6) and made.table.sha256.nunique() == 6


def test_prediction_takes_a_folder_of_frames_for_one_video(tmp_path):
  write_folder(tmp_path / "in/a", frames(3))
  (tmp_path / "in/b.mp4").write_bytes(b"x")
  assert predict.find_videos([str(tmp_path / "in")]) == [tmp_path / "in/a", tmp_path / "in/b.mp4"]
  assert predict.find_videos([str(tmp_path / "in/a")]) == [tmp_path / "in/a"]
