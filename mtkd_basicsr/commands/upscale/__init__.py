"""``mtkd upscale``."""

from .api import upscale as upscale
