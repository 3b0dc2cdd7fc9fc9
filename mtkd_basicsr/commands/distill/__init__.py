"""``mtkd distill``."""

from .api import distill as distill
