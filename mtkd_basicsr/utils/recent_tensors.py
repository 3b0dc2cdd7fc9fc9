"""Tensors that follow from sizes, kept for those that were used last."""

from collections.abc import Callable, Hashable

import torch

from .compiling import is_compiling, is_lasting


class RecentTensors:
    """Constant tensors by key; beyond a number of them the one not used for longest is dropped.

    Args:
        count: How many are kept.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: dict[Hashable, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drop all of them."""
        self._kept.clear()

    def get(self, key: Hashable, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return a tensor, computed if it is not kept.

        A graph that is being traced has to compute it, for any size.

        Args:
            key: What it follows from, its device included.
            compute: Computes it.

        Returns:
            The tensor, which must not be modified; it has no gradient.
        """
        if torch.jit.is_tracing() or is_compiling():
            return compute()
        tensor = self._kept.pop(key, None)
        if tensor is None:
            # Tensors that were made in inference mode could not be used in a training.
            with torch.inference_mode(False), torch.no_grad():
                tensor = compute()
            if not is_lasting(tensor):
                return tensor
        self._kept[key] = tensor
        while len(self._kept) > self.count:
            del self._kept[next(iter(self._kept))]
        return tensor
