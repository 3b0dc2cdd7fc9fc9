"""Basic knowledge distillation, and training without distillation."""

from ..config import TargetSource
from .base import Method


class LogitKD(Method):
    r"""Train the student on the output of one teacher.

    .. math::
        L = w_p \, \overline{|S(x) - y|} + w_d \, \overline{|S(x) - T(x)|}

    Both weights are 1 in DUKD's comparison (https://arxiv.org/abs/2309.14162), and 1/2 in FAKD's.
    """

    has_own_losses = False
    needs_target = True


class Scratch(Method):
    """Train the student without distillation, on the ground truth only, in the same trainer."""

    has_own_losses = False
    target_source = TargetSource.NONE
