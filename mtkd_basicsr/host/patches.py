"""Repairs of the packages that we build on, broken by recent torchvision, setuptools and torch.

A repair is made only in this process: no installed file is changed.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

from basicsr.utils import dist_util

from . import shared_lmdb, startup, swin_masks
from .distributed import init_gloo, launched, refuse_slurm


def apply() -> None:
    """Make ``import basicsr`` work, training without a GPU, an LMDB in two data sets, fast masks.

    Calling it twice is harmless.
    """
    startup.install()
    for name in startup.TEXT_MODULES:
        if name in sys.modules:  # imported before the finder was there
            sys.modules[name].__dict__['open'] = startup.open_text
    shared_lmdb.install()
    swin_masks.install()
    _patch_launchers()


def _patch_launchers() -> None:
    # BasicSR initializes its processes with nccl and a CUDA device for each, whatever num_gpu says.
    dist_util._init_dist_pytorch = launched('pytorch', dist_util._init_dist_pytorch, init_gloo)
    dist_util._init_dist_slurm = launched('slurm', dist_util._init_dist_slurm, refuse_slurm)


@contextlib.contextmanager
def pkg_resources() -> Iterator[None]:
    """Provide a stand-in for ``pkg_resources`` while pytorch_wavelets is imported.

    It has the one function that pytorch_wavelets uses. setuptools >= 82 has no pkg_resources
    (https://github.com/fbcotter/pytorch_wavelets/pull/66), and the versions shortly before emit a
    warning on import. The stand-in is removed afterwards, so that no other package mistakes it for
    the real one.
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
