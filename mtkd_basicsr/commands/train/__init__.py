"""``mtkd train``."""

from .api import train as train
