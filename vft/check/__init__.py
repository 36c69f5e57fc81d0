"""vft check. Nothing is imported here: a process for decoding starts without pandas and jinja2."""
