"""``mtkd compare``."""

from .api import compare as compare
