"""A loss on the DCT coefficients of windows, to compare the wavelet loss with."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ..errors import OptionError
from ..functional.dct import dct_matrix
from ..host.api import LOSS_REGISTRY
from ..utils.registry import register


@register(LOSS_REGISTRY)
class DCTLoss(nn.Module):
    r"""Mean absolute difference of the DCT coefficients of two images, window by window.

    .. math::
        w \, \overline{| D (X - Y) D^T |}

    with the mean over all windows X, Y and coefficients, and the orthonormal DCT-II D. Its scale is
    that of an L1 loss; with ``window_size: 1`` it is the L1 loss. Height and width are padded with
    zeros to whole windows.

    Args:
        loss_weight (float): Weight of the loss, w.
        window_size (int): Height and width of a window, in pixels.
        reduction (str): ``'mean'``.

    Raises:
        OptionError: If an argument has an invalid value.

    Shape:
        - pred, target: (b, c, h, w), the same shape, any range.
        - Output: a scalar.
    """

    dct: torch.Tensor

    def __init__(
        self, loss_weight: float = 1.0, window_size: int = 8, reduction: str = 'mean'
    ) -> None:
        super().__init__()
        if not isinstance(window_size, int) or isinstance(window_size, bool) or window_size < 1:
            raise OptionError(
                f'DCTLoss: window_size: {window_size!r}; expected a whole number from 1 on'
            )
        if reduction != 'mean':
            raise OptionError(f"DCTLoss: reduction: '{reduction}'; expected mean")
        self.loss_weight = loss_weight
        self.window_size = window_size
        self.register_buffer('dct', dct_matrix(window_size, dtype=torch.float32), persistent=False)

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of (b, c, h, w) against (b, c, h, w): a scalar."""
        if pred.shape != target.shape:
            raise ValueError(
                f'DCTLoss: pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in '
                'shape'
            )
        with torch.autocast(pred.device.type, enabled=False):
            difference = pred.float() - target.float()
            size = self.window_size
            h, w = difference.shape[-2:]
            difference = F.pad(difference, (0, -w % size, 0, -h % size))
            # (b, c, h / size, size, w / size, size): the rows and columns of a window are axes 3
            # and 5, and after the transpose axes 4 and 5.
            windows: torch.Tensor = difference.unflatten(3, (-1, size)).unflatten(2, (-1, size))
            coefficients = self.dct @ windows.transpose(3, 4) @ self.dct.T
            return self.loss_weight * coefficients.abs().mean()
