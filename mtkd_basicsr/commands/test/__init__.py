"""``mtkd test``."""
