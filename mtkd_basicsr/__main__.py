"""``python -m mtkd_basicsr``, for launchers such as torchrun that start modules."""

import sys
from importlib.util import find_spec

from .commands.cli import main

# Workers that read images are spawned where there are several processes. They import the main
# module again, but not one that is called __main__: without another name they would not import this
# package, and would not find BasicSR repaired.
__spec__ = find_spec('mtkd_basicsr.commands.cli')

sys.exit(main())
