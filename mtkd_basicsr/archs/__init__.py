"""Fusion networks and those of spandrel, registered for BasicSR's option files."""

from .conv_fusion_arch import ConvFusion
from .dctswin_arch import DCTSwin
from .spandrel_arch import Spandrel, SpandrelNetwork

__all__ = ['ConvFusion', 'DCTSwin', 'Spandrel', 'SpandrelNetwork']
