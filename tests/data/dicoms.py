"""Tiny DICOM files, written by pydicom at test time, all of the patient DOE^JANE."""
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless, generate_uid

NAME, NUMBER = "DOE^JANE", "MRN-4711-0815"
ULTRASOUND_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"


def write_dicom(path: str | Path, video: np.ndarray, *, syntax: str = "raw", kind: str = "", patient: str = NUMBER,
                **tags: Any) -> str:
  """Writes `video` (T, H, W) or (T, H, W, 3), unsigned; YBR videos are given as RGB. Returns the path.

  syntax: raw | rle | jpeg2000 | jpeg. kind: the photometric interpretation. A tag of None is left out.
  """
  samples = video.shape[3] if video.ndim == 4 else 1
  kind = kind or ("RGB" if samples == 3 else "MONOCHROME2")
  meta = FileMetaDataset()
  meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ULTRASOUND_MULTI_FRAME, generate_uid()
  meta.TransferSyntaxUID = ExplicitVRLittleEndian
  data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
  data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
  data.PatientName, data.PatientID, data.PatientBirthDate = NAME, patient, "19470811"
  data.Rows, data.Columns, data.SamplesPerPixel = video.shape[1], video.shape[2], samples
  data.NumberOfFrames, data.FrameTime, data.PhotometricInterpretation = len(video), 100.0, kind
  data.BitsAllocated = data.BitsStored = 8 * video.dtype.itemsize
  data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
  if samples == 3:
    data.PlanarConfiguration = 0
  for tag, value in tags.items():
    if value is None:
      delattr(data, tag)
    else:
      setattr(data, tag, value)
  raw = np.stack([_ybr(frame) for frame in video]) if kind == "YBR_FULL" and syntax != "jpeg" else video
  if syntax == "jpeg":
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([_jpeg(frame) for frame in video])
    data["PixelData"].VR = "OB"
  else:
    data.PixelData = raw.tobytes()
    data["PixelData"].VR = "OW" if video.dtype.itemsize > 1 else "OB"
  if syntax in ("rle", "jpeg2000"):
    data.compress({"rle": RLELossless, "jpeg2000": JPEG2000Lossless}[syntax], generate_instance_uid=False)
  data.save_as(path, enforce_file_format=True)
  return str(path)


def _ybr(rgb: np.ndarray) -> np.ndarray:
  return pydicom.pixels.convert_color_space(rgb, "RGB", "YBR_FULL")


def _jpeg(frame: np.ndarray) -> bytes:
  out = io.BytesIO()
  Image.fromarray(frame).save(out, "jpeg", quality=95)
  return out.getvalue()
