"""Configs: find, load, check, save and compare."""
from vft.config.checks import check
from vft.config.files import FREE, SHIPPED, difference, fields, find, from_json, load, to_json

__all__ = ["FREE", "SHIPPED", "check", "difference", "fields", "find", "from_json", "load", "to_json"]
