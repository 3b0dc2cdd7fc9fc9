"""Detection of non-finite losses."""

import math

import torch

from ..errors import TrainingError
from ..host.api import get_root_logger
from ..utils.texts import begun

# Number of images that a log line names.
_MAX_LISTED = 8
# Packages whose modules have constant buffers alone.
_WITH_CONSTANTS = ('basicsr.', 'mtkd_basicsr.')


class LossGuard:
    """Detects non-finite losses, and decides whether to skip a step.

    The values are copied to the host asynchronously after the forward pass and read after the
    backward pass was launched, so that the copy costs no more time than logging the losses does.
    BasicSR's ``CUDAPrefetcher`` relies on that wait: it copies the next images into memory of
    earlier ones without knowing whether a step still reads them.

    Args:
        max_skipped: Number of consecutive steps that may be skipped.
        distributed: Whether to average the losses over all processes.

    Attributes:
        skipped (int): Number of consecutive steps skipped so far.
    """

    def __init__(self, max_skipped: int, distributed: bool) -> None:
        self.max_skipped = max_skipped
        self.distributed = distributed
        self.skipped = 0
        self._net: torch.nn.Module | None = None
        self._buffers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._names: list[str] = []
        self._host: torch.Tensor | None = None
        self._event: torch.cuda.Event | None = None

    @torch.no_grad()
    def remember(self, net: torch.nn.Module) -> None:
        """Copy the buffers of a network before a step, which may be skipped.

        Running statistics, as of BatchNorm, change in the forward pass.

        Args:
            net: The network that is trained, not wrapped for parallel training.
        """
        if net is not self._net:
            self._net = net
            self._buffers = [(buffer, buffer.clone()) for buffer in _changing_buffers(net)]
            return
        for buffer, copy in self._buffers:
            copy.copy_(buffer)

    def start(self, losses: dict[str, torch.Tensor]) -> None:
        """Start copying losses to the host.

        Args:
            losses: Scalars by log name.
        """
        values = torch.stack([loss.detach().float().mean() for loss in losses.values()])
        if self.distributed:
            # All processes see the same values, so they all skip a step or none does.
            torch.distributed.all_reduce(values)
            values /= torch.distributed.get_world_size()
        self._names = list(losses)
        if values.is_cuda:
            self._host = torch.empty(values.shape, pin_memory=True).copy_(values, non_blocking=True)
            # Blocking: the thread sleeps instead of keeping a core busy, which loaders can use.
            self._event = torch.cuda.Event(blocking=True)
            self._event.record()
        else:
            self._host = values

    def values(self) -> dict[str, float]:
        """Return the losses passed to :meth:`start`, by name, averaged over all processes."""
        if self._event is not None:
            self._event.synchronize()
        assert self._host is not None  # start() was called
        return dict(zip(self._names, self._host.tolist(), strict=True))

    def accepts(self, values: dict[str, float], iteration: int, images: list[str]) -> bool:
        """Return whether to run the optimizer step; if not, log a warning and restore buffers.

        Args:
            values: Result of :meth:`values`.
            iteration: Iteration, for the log.
            images: Paths of the images of the batch, for the log.

        Returns:
            Whether all losses are finite.

        Raises:
            TrainingError: More than ``max_skipped`` consecutive steps were skipped.
        """
        wrong = []
        for name, value in values.items():
            if not math.isfinite(value):
                wrong.append(f'{name} is {value}')
        if not wrong:
            self.skipped = 0
            return True
        with torch.no_grad():
            for buffer, copy in self._buffers:
                buffer.copy_(copy)
        self.skipped += 1
        listed = begun(images, _MAX_LISTED) or 'unknown'
        text = (
            f'iteration {iteration}: {", ".join(wrong)}; the step is skipped, number '
            f'{self.skipped} in a row. Images: {listed}'
        )
        get_root_logger().warning(text)
        if self.skipped > self.max_skipped:
            raise TrainingError(
                f'{text}. train.max_skipped is {self.max_skipped}: training stops; the last '
                'checkpoint is unchanged'
            )
        return False


def _changing_buffers(net: torch.nn.Module) -> list[torch.Tensor]:
    """Return the buffers of a network that may change in its forward pass.

    Those of modules of BasicSR and of this package are masks, indices and constants; copying them
    would cost a small student some percent of a step on a GPU.
    """
    found: list[torch.Tensor] = []
    for module in net.modules():
        if not type(module).__module__.startswith(_WITH_CONSTANTS):
            found += module.buffers(recurse=False)
    return found


def first_not_finite(net: torch.nn.Module) -> str | None:
    """Return the name of the first parameter with a value that is not finite; None if all are.

    Or of the first buffer with NaN; infinity may be meant there, as in a mask. On a GPU that waits
    once for all of them, not for each.
    """
    right = {name: torch.isfinite(p).all() for name, p in net.named_parameters()}
    for name, buffer in net.named_buffers():
        if buffer.is_floating_point():
            right[name] = ~torch.isnan(buffer).any()
    if not right:
        return None
    values = torch.stack(list(right.values())).tolist()
    return next((name for name, ok in zip(right, values, strict=True) if not ok), None)
