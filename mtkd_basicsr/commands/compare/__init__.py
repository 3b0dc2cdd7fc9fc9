"""``mtkd compare``."""
