"""The commands of ``mtkd`` as functions, one folder for each.

A script imports them from here and needs no other import: they register this package in BasicSR
themselves. What a function imports to do its work it imports when it is called, so that ``mtkd
--help`` need not wait for torch.
"""

from .cache import cache
from .check import check
from .compare import compare
from .demo import demo
from .export import export
from .options import option_reference, write_options
from .prepare_data import prepare_data
from .test import test
from .train import train
from .upscale import upscale

# A folder and its function have one name: from here on `mtkd_basicsr.commands.train` is the
# function; `from mtkd_basicsr.commands.train import run` finds the folder all the same.
__all__ = [
    'cache',
    'check',
    'compare',
    'demo',
    'export',
    'option_reference',
    'prepare_data',
    'test',
    'train',
    'upscale',
    'write_options',
]
