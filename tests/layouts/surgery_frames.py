"""The tiny Cholec80, for the config that reads it with a trunk of surgery."""
from tests.layouts.cholec80 import EXPECTED, UPDATES, make

__all__ = ["EXPECTED", "UPDATES", "make"]
