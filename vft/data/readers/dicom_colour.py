"""The values of a DICOM frame as 8-bit grey or colour: palette, windows, inverted grey (PS3.3, C.7.6.3 and C.11)."""
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from vft.data.readers.pixels import apply_window
from vft.errors import DataError

PALETTE_TAGS = tuple(f"{part}{colour}PaletteColorLookupTable{end}" for colour in ("Red", "Green", "Blue")
                     for part, end in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data")))
WINDOW_TAGS = ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "ModalityLUTSequence", "RescaleSlope",
               "RescaleIntercept")
COLOUR_TAGS = ("PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation",
               "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *WINDOW_TAGS, *PALETTE_TAGS)


def to_rgb(values: np.ndarray, tags: pydicom.Dataset, number: int, window: tuple[float, ...]) -> np.ndarray:
  """Frame `number` as pydicom decodes it, YBR already turned into RGB -> (H, W, 3) or, grey, (H, W) uint8.

  `window`: (centre, width) of grey, or () for the header's, or else the whole range of the stored bits.
  """
  kind = str(tags.get("PhotometricInterpretation", "")).strip()
  if kind == "PALETTE COLOR":
    return _to_8_bit(apply_color_lut(values, tags), 0)
  if values.ndim == 3:
    if kind.startswith("YBR_PARTIAL"):
      raise DataError("the colour space YBR_PARTIAL, retired from DICOM in 2007, is not read")
    return _to_8_bit(values, int(tags.get("BitsStored", 8)))
  if values.ndim != 2:
    raise DataError("a frame is not of 1 or 3 samples a pixel")
  if not np.isfinite(values).all():
    raise DataError("a frame holds values that are not finite")
  grey = _windowed(values, _functional(tags, number), window)
  return 255 - grey if kind == "MONOCHROME1" else grey


def _to_8_bit(values: np.ndarray, bits: int) -> np.ndarray:
  bits = bits or 8 * values.dtype.itemsize
  return (values >> max(bits - 8, 0)).astype(np.uint8)


def _functional(tags: pydicom.Dataset, number: int) -> pydicom.Dataset:
  """The tags, with the window and the rescaling that enhanced files keep for each frame or for all (C.7.6.16)."""
  each, shared = (tags.get(f"{kind}FunctionalGroupsSequence") or [] for kind in ("PerFrame", "Shared"))
  own = pydicom.Dataset()
  own.update(tags)  # a copy of a data set shares its elements
  for functions in (*each[number:number + 1], *shared):
    for group in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
      for item in functions.get(group) or ():
        for tag in WINDOW_TAGS:
          if tag in item and tag not in own:
            setattr(own, tag, item[tag].value)
  return own


def _windowed(values: np.ndarray, tags: pydicom.Dataset, window: tuple[float, ...]) -> np.ndarray:
  grey = apply_modality_lut(values, tags)
  if window:
    return apply_window(grey, window[0], window[1])
  if tags.get("VOILUTSequence"):
    table = tags.VOILUTSequence[0].LUTDescriptor
    return _to_8_bit(apply_voi(grey, tags).astype(np.uint16), int(table[2]))
  centre, width = _first(tags.get("WindowCenter")), _first(tags.get("WindowWidth"))
  if centre is not None and width is not None and width > 0:
    function = str(tags.get("VOILUTFunction") or "LINEAR").strip().upper()
    return apply_window(grey, centre, width, function if function in ("SIGMOID", "LINEAR_EXACT") else "LINEAR")
  if values.dtype.kind == "f":
    raise DataError("grey values without a window: give --config.data.window=\"(CENTRE, WIDTH)\"")
  return apply_window(grey, *_full_range(tags, values), function="LINEAR_EXACT")


def _full_range(tags: pydicom.Dataset, values: np.ndarray) -> tuple[float, float]:
  """Centre and width of all values that the stored bits can hold, rescaled."""
  bits = int(tags.get("BitsStored") or 8 * values.dtype.itemsize)
  if tags.get("ModalityLUTSequence"):
    bits, signed = int(tags.ModalityLUTSequence[0].LUTDescriptor[2]), False
  else:
    signed = int(tags.get("PixelRepresentation") or 0) == 1
  low, high = (-(2**(bits - 1)), 2**(bits - 1) - 1) if signed else (0, 2**bits - 1)
  if not tags.get("ModalityLUTSequence"):
    slope, intercept = float(tags.get("RescaleSlope") or 1), float(tags.get("RescaleIntercept") or 0)
    low, high = sorted((low * slope + intercept, high * slope + intercept))
  return (low + high) / 2, high - low


def _first(value: Any) -> float | None:
  """A header may offer several windows: the first is the one to show."""
  if isinstance(value, MultiValue):
    value = value[0] if value else None
  return None if value in (None, "") else float(value)
