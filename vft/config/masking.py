"""Secrets stay out of saved configs and logs: what stands under a key that ends in token, secret, password and such."""
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "(masked)"
_NAME = r"(?:token|secret|password|passwd|passphrase|api_?key|access_?key|private_?key|credentials?)"
_KEY = re.compile(rf"(?:.*[_.\-])?{_NAME}", re.IGNORECASE)
_SAID = re.compile(rf"\b((?:[\w.\-]*[_.\-])?{_NAME}[\"']?\s*[=:]\s*)(?!\(masked\))[\"']?[^\s\"',;&}}]+", re.IGNORECASE)
_LOGIN = re.compile(r"(\w+://[^/\s:@]*:)[^/\s@]+@")  # a password in a URL


def is_secret(key: str) -> bool:
  """Whether what stands under a key is nobody's business."""
  return bool(_KEY.fullmatch(key))


def masked(value: Any) -> Any:
  """The same tree of dicts; what stands under a secret key is masked, unless it is empty."""
  if not isinstance(value, Mapping):
    return value
  return {k: MASK if is_secret(str(k)) and v else masked(v) for k, v in value.items()}


def masked_text(text: str) -> str:
  """The same text without NAME=VALUE of a secret, passwords in URLs, and values of secret environment variables."""
  for key, value in os.environ.items():
    if is_secret(key) and len(value) >= 8:  # a shorter one would hide words
      text = text.replace(value, MASK)
  return _LOGIN.sub(rf"\1{MASK}@", _SAID.sub(rf"\1{MASK}", text))


class Formatter(logging.Formatter):
  """Lines of a log without secrets."""

  def format(self, record: logging.LogRecord) -> str:
    return masked_text(super().format(record))
