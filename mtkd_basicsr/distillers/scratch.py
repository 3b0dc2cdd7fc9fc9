"""Training without distillation."""

from ..config import TargetSource
from .base import Method
from .registry import register_method


@register_method
class Scratch(Method):
    """Train the student without distillation, on the ground truth only, in the same trainer."""

    has_own_losses = False
    target_source = TargetSource.NONE
