"""``mtkd upscale``."""
