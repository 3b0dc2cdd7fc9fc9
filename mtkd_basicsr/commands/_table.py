"""The commands of the command line.

These modules import nothing heavy, so that ``mtkd --help`` and usage errors appear at once. Each
has

- ``HELP``, its line in ``mtkd --help``, and ``DESCRIPTION``, the first line of ``mtkd COMMAND
  --help``;
- ``add_arguments(parser)``, and ``run(args)``, which calls the function of the command.
"""

from .cache import cli as cache
from .check import cli as check
from .compare import cli as compare
from .demo import cli as demo
from .distill import cli as distill
from .export import cli as export
from .options import cli as options
from .prepare_data import cli as data
from .test import cli as test
from .train import cli as train
from .upscale import cli as upscale

# In the order of `mtkd --help`.
COMMANDS = {
    'train': train,
    'test': test,
    'cache': cache,
    'compare': compare,
    'check': check,
    'data': data,
    'options': options,
    'upscale': upscale,
    'export': export,
    'distill': distill,
    'demo': demo,
}
