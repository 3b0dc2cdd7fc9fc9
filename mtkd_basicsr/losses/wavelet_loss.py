"""The wavelet loss of MTKD's second stage."""

from typing import cast

import torch
from torch import nn

from ..errors import OptionError, did_you_mean
from ..functional.wavelet import BAND_MEANS, band_l1, haar_bands, haar_l1, high_weight
from ..host import patches
from ..host.api import LOSS_REGISTRY
from ..utils.cudnn import cudnn_flags
from ..utils.registry import register

REDUCTIONS = ('mean', 'sum')
BANDS = ('all', 'high')


def _other_wavelet(level: int, wave: str) -> nn.Module:
    """Build the transform of pytorch_wavelets for any wavelet.

    Returns:
        (b, c, h, w) -> the low band and, for each level, its high bands (b, c, 3, h', w').

    Raises:
        OptionError: If PyWavelets does not know the wavelet.
    """
    import pywt

    known = pywt.wavelist(kind='discrete')
    if wave not in known:
        raise OptionError(
            f"WaveletLoss: wave: unknown wavelet '{wave}'; {did_you_mean(wave, known)}"
        )
    with patches.pkg_resources():
        from pytorch_wavelets import DWTForward
    return cast(nn.Module, DWTForward(J=level, wave=wave, mode='zero'))


@register(LOSS_REGISTRY)
class WaveletLoss(nn.Module):
    r"""Mean absolute difference of two images over the bands of a wavelet transform.

    .. math::
        w \Big( \overline{|LL_K(x) - LL_K(y)|} + \sum_{k=1}^{K} \sum_{B \in \{LH, HL, HH\}}
        \overline{|B_k(x) - B_k(y)|} \Big)

    with the mean over all images, channels and positions of a band. With ``band_mean: joint`` the
    inner sum is divided by 3. Jiang, Feng, Zhang, Bull:
    *Multi-Teacher Knowledge Distillation for Image Super-Resolution*, ECCV 2024; there K = 1, Haar.

    The transform is linear, so that it is applied once, to x − y. It is computed in fp32, even
    under autocast. Haar is computed here, every other wavelet of PyWavelets by
    ``pytorch_wavelets`` with ``mode='zero'``.

    Args:
        loss_weight (float): Weight of the loss, w.
        level (int): Levels of the transform, K.
        wave (str): Name of a discrete wavelet in PyWavelets.
        reduction (str): ``'mean'`` or ``'sum'`` within each band.
        bands (str): ``'all'``; ``'high'`` leaves the low band out, so that flat areas may have
            any value.
        band_mean (str): ``'each'`` counts every band by its own mean; ``'joint'`` takes one mean
            over LH, HL and HH of a level, as the authors' code does, so that each of them counts a
            third of LL. With ``reduction: sum`` there is no difference.

    Raises:
        OptionError: If an argument has an invalid value.

    Shape:
        - pred, target: (b, c, h, w), the same shape, any range.
        - Output: a scalar.

    Example:
        >>> loss = WaveletLoss(loss_weight=1.0, level=2)
        >>> loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
        tensor(0.)
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        level: int = 1,
        wave: str = 'haar',
        reduction: str = 'mean',
        bands: str = 'all',
        band_mean: str = 'each',
    ) -> None:
        super().__init__()
        choices = (
            ('reduction', reduction, REDUCTIONS),
            ('bands', bands, BANDS),
            ('band_mean', band_mean, tuple(BAND_MEANS)),
        )
        for key, value, known in choices:
            if value not in known:
                raise OptionError(
                    f"WaveletLoss: {key}: unknown value '{value}'; {did_you_mean(value, known)}"
                )
        if not isinstance(level, int) or isinstance(level, bool) or level < 1:
            raise OptionError(f'WaveletLoss: level: {level!r}; expected a whole number from 1 on')
        self.loss_weight = loss_weight
        self.level = level
        self.wave = wave
        self.reduction = reduction
        self.high_only = bands == 'high'
        self.band_mean = band_mean
        self.transform = None if wave == 'haar' else _other_wavelet(level, wave)

    def _transform_in_fp32(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Run the transform of pytorch_wavelets, a convolution, without TF32 on a GPU."""
        assert self.transform is not None
        with cudnn_flags(allow_tf32=False):
            return cast(tuple[torch.Tensor, list[torch.Tensor]], self.transform(x))

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of (b, c, h, w) against (b, c, h, w): a scalar."""
        if pred.shape != target.shape:
            raise ValueError(
                f'WaveletLoss: pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in '
                'shape'
            )
        with torch.autocast(pred.device.type, enabled=False):
            pred = pred.float()
            target = target.float()
            if self.transform is None and not self.high_only:
                return self.loss_weight * haar_l1(
                    pred, target, self.level, self.reduction, self.band_mean
                )
            if self.transform is None:
                *bands, low = haar_bands(pred - target, self.level)
            else:
                low, high = self._transform_in_fp32(pred - target)
                bands = []
                for level_bands in high:
                    bands.extend(level_bands.unbind(2))
            weights = [high_weight(self.band_mean, self.reduction)] * len(bands)
            if not self.high_only:
                bands = [low, *bands]
                weights = [1.0, *weights]
            return self.loss_weight * band_l1(bands, self.reduction, weights)
