"""Configs: find, load, check, save and compare."""
from vft.config.checks import check
from vft.config.files import FREE, SHIPPED, difference, fields, find, from_json, load, to_json
from vft.config.masking import masked_text

__all__ = ["FREE", "SHIPPED", "check", "difference", "fields", "find", "from_json", "load", "masked_text", "to_json"]
