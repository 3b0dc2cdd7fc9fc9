"""``mtkd options``."""
