"""``mtkd train``."""
