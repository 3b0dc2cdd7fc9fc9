"""The commands of ``mtkd`` as functions, one folder for each.

A script needs no other import: each function registers this package with BasicSR. Heavy imports
happen when a function is called, so that ``mtkd --help`` does not wait for torch.
"""

from .cache import cache
from .check import check
from .compare import compare
from .demo import demo
from .distill import distill
from .export import export
from .options import option_reference, write_options
from .prepare_data import prepare_data
from .test import test
from .train import train
from .upscale import upscale

# A folder and its function share a name: from here on `mtkd_basicsr.commands.train` is the
# function; `from mtkd_basicsr.commands.train import run` still finds the folder.
__all__ = [
    'cache',
    'check',
    'compare',
    'demo',
    'distill',
    'export',
    'option_reference',
    'prepare_data',
    'test',
    'train',
    'upscale',
    'write_options',
]
