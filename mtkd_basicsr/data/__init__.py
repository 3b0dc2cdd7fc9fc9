from .distill_dataset import DistillImageDataset

__all__ = ['DistillImageDataset']
