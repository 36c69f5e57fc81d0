"""A finished run in a form that others can use; command.py is the way in."""
