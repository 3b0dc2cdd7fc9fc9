"""``python -m mtkd_basicsr``, for launchers such as torchrun that start modules."""

import sys

from .cli import main

sys.exit(main())
