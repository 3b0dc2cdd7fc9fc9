"""Fusion networks, registered for BasicSR's option files."""

from .conv_fusion_arch import ConvFusion
from .dctswin_arch import DCTSwin

__all__ = ['ConvFusion', 'DCTSwin']
