"""``mtkd test``."""

from .api import test as test
