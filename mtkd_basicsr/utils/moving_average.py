"""An exponential moving average of a network, in a handful of calls into torch."""

import torch
from torch import nn


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """Return the share of the average that stays at an update.

    With warm-up it is ``min(decay, (1 + t) / (10 + t))`` at update t, counted from 0, as in
    TensorFlow's ``ExponentialMovingAverage(decay, num_updates)``: the first updates replace most of
    the average, which starts at random weights.

    Args:
        update: Number of updates before this one.
        decay: The final share, ``train.ema_decay``.
        warmup: Whether the first updates keep less.
    """
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


class MovingAverage:
    """Updates the parameters and buffers of one network by those of another.

    The parameters are listed once. A loop over them, as BasicSR's, launches two kernels for each:
    on a GPU that is a quarter of all launches of a training step.

    Args:
        average: The network that is updated.
        network: The network that is trained; it has all parameters of ``average``, by name.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        self.average = average
        self.network = network
        trained = dict(network.named_parameters())
        self._averages: list[torch.Tensor] = []
        self._parameters: list[torch.Tensor] = []
        for name, parameter in average.named_parameters():
            self._averages.append(parameter)
            self._parameters.append(trained[name])
        # Not the buffers themselves: a network may put other tensors in their places.
        modules = dict(network.named_modules())
        self._buffers: list[tuple[dict[str, torch.Tensor | None], ...]] = []
        for name, module in average.named_modules():
            if name in modules:
                self._buffers.append((module._buffers, modules[name]._buffers))

    def belongs_to(self, average: nn.Module, network: nn.Module) -> bool:
        """Return whether these are the two networks."""
        return self.average is average and self.network is network

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Average the parameters, and copy the buffers.

        Args:
            decay: Share of the average that stays.
        """
        if self._averages:
            torch._foreach_mul_(self._averages, decay)
            torch._foreach_add_(self._averages, self._parameters, alpha=1 - decay)
        for copies, buffers in self._buffers_by_type():
            torch._foreach_copy_(copies, buffers)

    def _buffers_by_type(self) -> list[tuple[list[torch.Tensor], list[torch.Tensor]]]:
        """Return the buffers of both networks: tensors of different types need several kernels."""
        found: dict[torch.dtype, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        for averaged, trained in self._buffers:
            for name, buffer in trained.items():
                copy = averaged.get(name)
                # A network may keep buffers for the last size of an image, which differ in shape.
                if buffer is not None and copy is not None and copy.shape == buffer.shape:
                    copies, buffers = found.setdefault(buffer.dtype, ([], []))
                    copies.append(copy)
                    buffers.append(buffer)
        return list(found.values())
