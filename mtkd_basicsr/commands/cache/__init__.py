"""``mtkd cache``."""

from .api import cache as cache
