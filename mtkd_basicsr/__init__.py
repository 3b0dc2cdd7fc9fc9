"""Multi-teacher knowledge distillation (MTKD) for super-resolution, as a plug-in for BasicSR.

Importing this package registers its models, archs, losses and datasets in BasicSR's registries. The
command ``mtkd`` does so when it knows that they are needed: ``mtkd --help`` has no use for torch.
"""

from typing import Any

from .host import startup
from .utils.version import __version__ as __version__

__all__ = [
    'ConvFusion',
    'DCTLoss',
    'DCTSwin',
    'DistillImageDataset',
    'KDModel',
    'MTKDFusionModel',
    'MTKDModel',
    'Spandrel',
    'WaveletLoss',
]

startup.install()

if not startup.is_our_command():
    from .commands._registration import (
        ConvFusion,
        DCTLoss,
        DCTSwin,
        DistillImageDataset,
        KDModel,
        MTKDFusionModel,
        MTKDModel,
        Spandrel,
        WaveletLoss,
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .commands import _registration

    return getattr(_registration, name)
