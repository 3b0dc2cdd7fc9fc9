"""``mtkd check``."""
