"""What recent versions of torchvision, setuptools and torch broke in the packages that we build on.

Each repair is made only where the thing is missing, in this process only: no file of anybody is touched.
"""

import contextlib
import importlib.util
import os
import sys
import types


def apply():
    """Makes ``import basicsr``, resuming and several processes work. Harmless when done twice; comes before the first import of basicsr."""
    _functional_tensor()
    _distributed()
    fix_resume(sys.modules.get('__main__'))


def _functional_tensor():
    # torchvision >= 0.17 has no transforms.functional_tensor, which BasicSR 1.4.2 imports one function from.
    # https://github.com/XPixelGroup/BasicSR/issues/663; fixed upstream (8d56e3a), never released.
    name = 'torchvision.transforms.functional_tensor'
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale
    module = types.ModuleType(name, 'Stands in for a module that torchvision 0.17 removed (mtkd_basicsr.compat).')
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module


def _distributed():
    # BasicSR's processes meet on nccl alone, each with a CUDA device, whatever num_gpu says.
    import torch
    from basicsr.utils import dist_util
    if torch.cuda.is_available():
        return
    from .distributed import meet_on_cpu, refuse_slurm
    dist_util._init_dist_pytorch, dist_util._init_dist_slurm = meet_on_cpu, refuse_slurm


@contextlib.contextmanager
def pkg_resources():
    """While it is open, ``import pkg_resources`` finds a module with the one function that pytorch_wavelets imports.

    setuptools >= 82 has no pkg_resources (https://github.com/fbcotter/pytorch_wavelets/pull/66), and those shortly before warn whoever
    imports it. The stand-in goes again, so that nobody else takes it for the real one.
    """
    name = 'pkg_resources'
    if name in sys.modules:
        yield
        return
    from importlib.resources import files
    module = types.ModuleType(name, 'Stands in for a module that setuptools 82 removed (mtkd_basicsr.compat).')
    module.resource_stream = lambda package, resource: (files(package) / resource).open('rb')
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


def fix_resume(module):
    """Lets BasicSR's training script resume where there is no CUDA device, and from nothing that cannot be read.

    Its ``load_resume_state`` asks for the current CUDA device, whatever ``num_gpu`` says
    (https://github.com/XPixelGroup/BasicSR/issues/679), takes the newest state even if its writer was killed, and executes what is in it.

    Args:
        module: The module that BasicSR's ``train.py`` runs as: ``basicsr.train``, or ``__main__``. Any other module is
            left alone.
    """
    script = os.path.join('basicsr', 'train.py')
    if not os.path.abspath(getattr(module, '__file__', None) or '').endswith(script):
        return
    from .resume import load_resume_state
    module.load_resume_state = load_resume_state
