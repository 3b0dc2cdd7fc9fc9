"""``mtkd data``."""

from .api import prepare_data as prepare_data
