"""The command ``mtkd``: one folder for each of its commands."""
