"""What recent versions of torchvision, setuptools and torch broke in the packages that we build on.

Each repair is made only where the thing is missing, in this process only: no file of anybody is
touched.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

import torch
from basicsr.utils import dist_util

from . import startup
from .distributed import meet_on_cpu, refuse_slurm


def apply() -> None:
    """Make ``import basicsr`` and several processes work.

    Harmless when done twice.
    """
    startup.install()
    _distributed()


def _distributed() -> None:
    # BasicSR's processes meet on nccl alone, each with a CUDA device, whatever num_gpu says.
    if torch.cuda.is_available():
        return
    dist_util._init_dist_pytorch = meet_on_cpu
    dist_util._init_dist_slurm = refuse_slurm


@contextlib.contextmanager
def pkg_resources() -> Iterator[None]:
    """Stand in for ``pkg_resources`` while pytorch_wavelets is imported.

    The stand-in has the one function that pytorch_wavelets uses.

    setuptools >= 82 has no pkg_resources (https://github.com/fbcotter/pytorch_wavelets/pull/66),
    and those shortly before warn whoever imports it. The stand-in goes again, so that nobody else
    takes it for the real one.
    """
    name = 'pkg_resources'
    if name in sys.modules:
        yield
        return
    from importlib.resources import files

    module = types.ModuleType(
        name, 'Stands in for a module that setuptools 82 removed (mtkd_basicsr.host.patches).'
    )
    module.resource_stream = (  # type: ignore[attr-defined]
        lambda package, resource: (files(package) / resource).open('rb')
    )
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
