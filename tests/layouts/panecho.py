"""The tiny EchoNet-Dynamic, for the config that reads it with PanEcho's trunk."""
from tests.layouts.echonet_dynamic import EXPECTED, make

__all__ = ["EXPECTED", "make"]
