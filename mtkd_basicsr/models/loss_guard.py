"""Watching the losses of each step."""

import math

import torch
from basicsr.utils import get_root_logger

from ..errors import TrainingError

_NAMED = 8


class LossGuard:
    """Reads the losses of a step, and says when one of them is not finite.

    The values are copied to the host behind the forward pass, and waited for when the backward pass
    is on its way: nothing waits that logging would not have waited for.

    Args:
        max_skipped: How many steps in a row may be skipped.
        distributed: Whether there are other processes, whose losses count as well.

    Attributes:
        skipped (int): Steps skipped in a row until now.
    """

    def __init__(self, max_skipped: int, distributed: bool) -> None:
        self.max_skipped = max_skipped
        self.distributed = distributed
        self.skipped = 0
        self._names: list[str] = []
        self._host: torch.Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def start(self, losses: dict[str, torch.Tensor]) -> None:
        """Send losses on their way to the host.

        Args:
            losses: Scalars by log name.
        """
        values = torch.stack([loss.detach().float().mean() for loss in losses.values()])
        if self.distributed:
            # To all of them: a step that one process cannot do none of them does.
            torch.distributed.all_reduce(values)
            values /= torch.distributed.get_world_size()
        self._names = list(losses)
        if values.is_cuda:
            self._host = torch.empty(values.shape, pin_memory=True).copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._host = values

    def values(self) -> dict[str, float]:
        """Return what :meth:`start` was given, as floats by name; means over all processes."""
        if self._event is not None:
            self._event.synchronize()
        assert self._host is not None  # start() comes first
        return dict(zip(self._names, self._host.tolist(), strict=True))

    def accepts(self, values: dict[str, float], iteration: int, images: list[str]) -> bool:
        """Return whether a step may be done.

        Args:
            values: From :meth:`values`.
            iteration: For the log.
            images: Paths of the images of the batch, for the log.

        Returns:
            False where a loss is not finite, which is logged.

        Raises:
            TrainingError: it is one step too many.
        """
        wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
        if not wrong:
            self.skipped = 0
            return True
        self.skipped += 1
        some = ', '.join(images[:_NAMED]) + (', …' if len(images) > _NAMED else '')
        text = (
            f'iteration {iteration}: '
            f'{", ".join(f"{name} is {value}" for name, value in wrong.items())}; the step is '
            'skipped, number '
            f'{self.skipped} in a row. Images: {some or "unknown"}'
        )
        get_root_logger().warning(text)
        if self.skipped > self.max_skipped:
            raise TrainingError(
                f'{text}. train.max_skipped is {self.max_skipped}: training stops; the last '
                'checkpoint is as it was'
            )
        return False
