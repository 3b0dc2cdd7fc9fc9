"""``mtkd data``."""
