"""Parsing of option files with the methods that are known, and the keys that BasicSR reads."""

from typing import Any

from ..config import (
    DistillationConfig,
    ErrorCollector,
    ModelSpec,
    TargetSource,
    TrainingConfig,
    model_of,
    parse_distillation,
    parse_training,
)
from ..host.option_schema import TRAIN_KEYS
from .registry import METHODS


def training_config(
    opt: dict[str, Any], model: ModelSpec | None = None, errors: ErrorCollector | None = None
) -> TrainingConfig:
    """Parse an option file for training or testing.

    Args:
        opt: All options, as BasicSR has parsed them; they stay as they are.
        model: What is trained; by default what ``model_type`` says.
        errors: Takes the errors; by default the first one is raised.

    Returns:
        The options. Parts that were wrong have their defaults, if ``errors`` goes on.

    Raises:
        OptionError: An unknown or missing key, a value of another type or out of range.
    """
    return parse_training(opt, METHODS, TRAIN_KEYS, model, errors)


def check_method(block: Any) -> DistillationConfig:
    """Parse a ``train.kd`` without building anything.

    Args:
        block: ``train.kd``, as it stands in the option file.

    Returns:
        The methods.

    Raises:
        OptionError: An unknown method or key, a value of another type, methods that cannot be
            combined.
    """
    return parse_distillation(METHODS, block)


def used_teachers(model_type: str, kd: Any) -> bool:
    """Return whether a finished training depended on teachers.

    Its options may have keys that are not known any more.

    Args:
        model_type: Name of its model.
        kd: Its ``train.kd``; None where that was left out.
    """
    model = model_of(model_type)
    if model is None or model.trains_fusion:
        return model is not None
    name = (kd or {}).get('type') or model.default_method
    return name in METHODS and METHODS[name].target_source is not TargetSource.NONE
