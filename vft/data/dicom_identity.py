"""Who a DICOM file is of, as a salted hash: the only place that reads a patient's number, which it does not hand on.

The salt lies in one file of mode 0600; who does not have it cannot try numbers against the hashes of a manifest.
"""
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path

from vft.errors import DataError

SALT_BYTES = 32


def pseudonym(patient_id: str) -> str:
  """16 hexadecimal digits: HMAC-SHA256 by the salt of this machine, cut to 64 bits."""
  return hmac.new(load_salt(), patient_id.strip().encode(), hashlib.sha256).hexdigest()[:16]


def patient_of(path: str) -> str:
  """The pseudonym of the patient of a DICOM file; "" if the file has no number or cannot be read."""
  import pydicom

  from vft.data.readers.dicom import silent
  from vft.data.readers.files import open_bytes
  try:
    with silent(""), open_bytes(path) as file:
      tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID", "IssuerOfPatientID"])
      number = str(tags.get("PatientID") or "").strip()
      issuer = str(tags.get("IssuerOfPatientID") or "").strip()
  except DataError:  # the reader says later what is wrong with the file
    return ""
  return pseudonym(f"{issuer}\n{number}") if number else ""


def load_salt(folder: str = "~/.cache/vft") -> bytes:
  """The salt, made at the first call. Raises DataError if others than its owner may read it, or it is damaged."""
  path = Path(folder).expanduser() / "dicom_salt"
  try:
    if not path.exists():
      _make(path)
    mode, salt = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
  except OSError as e:
    raise DataError(f"{path}, the salt of patients' hashes: {e.strerror}.\nExpected a folder that can be written: set "
                    "HOME to one.") from None
  if mode & 0o077:
    raise DataError(f"{path}, the salt of patients' hashes, may be read by others (mode {mode:o}).\nExpected mode 600: "
                    f"type chmod 600 {path}")
  if len(salt) != SALT_BYTES:
    raise DataError(f"{path}, the salt of patients' hashes, has {len(salt)} bytes; expected {SALT_BYTES}.\nRestore it, "
                    "or delete it: then every patient gets a new hash.")
  return salt


def _make(path: Path) -> None:
  """Whole or not at all: of two processes that start together the second takes the first one's salt."""
  path.parent.mkdir(parents=True, exist_ok=True)
  number, partial_path = tempfile.mkstemp(dir=path.parent)  # mode 0600
  try:
    with os.fdopen(number, "wb") as file:
      file.write(secrets.token_bytes(SALT_BYTES))
    os.link(partial_path, path)
  except FileExistsError:
    pass
  finally:
    os.unlink(partial_path)
