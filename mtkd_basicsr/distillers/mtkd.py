"""MTKD, stage 2."""

from ..config import TargetSource
from .base import Method
from .registry import register_method


@register_method
class MTKD(Method):
    r"""Train the student on the fused output of all teachers.

    .. math::
        L = w_d \, \mathrm{wavelet}(S(x), A(T_1(x), \dots, T_N(x))) + w_p \, \overline{|S(x) - y|}

    Jiang, Feng, Zhang, Bull: *Multi-Teacher Knowledge Distillation for Image Super-Resolution*,
    ECCV 2024, https://arxiv.org/abs/2404.09571. In the paper w_d = 1 (``train.distill_opt``) and
    w_p = 0.1 (``train.pixel_opt``).
    """

    has_own_losses = False
    target_source = TargetSource.FUSED
    needs_target = True
