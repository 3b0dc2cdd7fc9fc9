"""Basic knowledge distillation."""

from .base import Method
from .registry import register_method


@register_method
class LogitKD(Method):
    r"""Train the student on the output of one teacher.

    .. math::
        L = w_p \, \overline{|S(x) - y|} + w_d \, \overline{|S(x) - T(x)|}

    Both weights are 1 in DUKD's comparison (https://arxiv.org/abs/2309.14162), and 1/2 in FAKD's.
    """

    has_own_losses = False
    needs_target = True
