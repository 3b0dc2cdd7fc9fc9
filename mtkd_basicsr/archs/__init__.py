from .dctswin_arch import DCTSwin

__all__ = ['DCTSwin']
