"""``mtkd demo``."""

from .api import demo as demo
