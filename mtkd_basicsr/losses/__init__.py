"""Losses, registered for BasicSR's option files, and what builds a loss from its block."""

from .dct_loss import DCTLoss
from .wavelet_loss import WaveletLoss

__all__ = ['DCTLoss', 'WaveletLoss']
