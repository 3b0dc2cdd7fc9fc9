"""``mtkd export``."""

from .api import export as export
