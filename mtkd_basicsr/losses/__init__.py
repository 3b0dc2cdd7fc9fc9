from .wavelet_loss import WaveletLoss

__all__ = ['WaveletLoss']
