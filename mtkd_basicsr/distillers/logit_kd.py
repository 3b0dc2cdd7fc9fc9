"""Basic knowledge distillation, and training without any."""

from .base import Method


class LogitKD(Method):
    r"""The student learns from the output of one teacher.

    .. math::
        L = w_p \, \overline{|S(x) - y|} + w_d \, \overline{|S(x) - T(x)|}

    Both weights are 1 in DUKD's comparison (https://arxiv.org/abs/2309.14162), 1/2 in FAKD's.
    """

    adds = False
    needs_target = True


class Scratch(Method):
    """No distillation: the student alone, against the ground truth, in the same trainer as all
    methods.
    """

    adds = False
    alone = True
