"""``mtkd cache``."""
