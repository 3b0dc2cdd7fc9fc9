"""Basic knowledge distillation, and training without any."""

from ..config import TargetSource
from .base import Method


class LogitKD(Method):
    r"""The student learns from the output of one teacher.

    .. math::
        L = w_p \, \overline{|S(x) - y|} + w_d \, \overline{|S(x) - T(x)|}

    Both weights are 1 in DUKD's comparison (https://arxiv.org/abs/2309.14162), 1/2 in FAKD's.
    """

    has_own_losses = False
    needs_target = True


class Scratch(Method):
    """No distillation: the student alone, against the ground truth, in the same trainer as all
    methods.
    """

    has_own_losses = False
    target_source = TargetSource.NONE
