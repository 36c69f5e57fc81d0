from typing import Any

config_flags: Any
