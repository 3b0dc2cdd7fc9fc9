"""``mtkd check``."""

from .api import check as check
