from .dct_loss import DCTLoss
from .wavelet_loss import WaveletLoss

__all__ = ['DCTLoss', 'WaveletLoss']
