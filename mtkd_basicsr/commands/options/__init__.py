"""``mtkd options``."""

from .api import option_reference as option_reference
from .api import write_options as write_options
