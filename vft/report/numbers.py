"""Numbers as the pages show them."""
from collections.abc import Mapping
from typing import Any

from vft import tables


def interval(figure: Mapping[str, Any] | None, digits: int, sign: str = "") -> str:
  """As `tables.interval`, its brackets on one line."""
  return tables.interval(figure, digits, sign).replace(", ", ",\u00a0")


def rate(value: float) -> str:
  """Three digits or more, and no power of ten.

  >>> rate(4768.2), rate(1.234)
  ('4,768', '1.23')
  """
  return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
