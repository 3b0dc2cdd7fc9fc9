"""``mtkd demo``."""
