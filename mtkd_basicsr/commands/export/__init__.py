"""``mtkd export``."""
