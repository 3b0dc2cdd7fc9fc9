"""Parsing of option files with the registered methods and the keys that BasicSR reads."""

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
        opt: All options as parsed by BasicSR; not modified.
        model: Properties of the model; by default those of ``model_type``.
        errors: Receives the errors; by default the first one is raised.

    Returns:
        The parsed options. If ``errors`` collects errors, wrong parts have their defaults.

    Raises:
        OptionError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    return parse_training(opt, METHODS, TRAIN_KEYS, model, errors)


def check_method(block: Any) -> DistillationConfig:
    """Parse a ``train.kd`` without building anything.

    Args:
        block: Value of ``train.kd`` in the option file.

    Returns:
        The methods.

    Raises:
        OptionError: A method or key is unknown, a value has the wrong type, or methods cannot be
            combined.
    """
    return parse_distillation(METHODS, block)


def used_teachers(model_type: str, kd: Any) -> bool:
    """Return whether a finished training depended on teachers.

    Its options may have keys that were removed since.

    Args:
        model_type: Name of its model.
        kd: Its ``train.kd``; None if not set.
    """
    model = model_of(model_type)
    if model is None or model.trains_fusion:
        return model is not None
    name = (kd or {}).get('type') or model.default_method
    return name in METHODS and METHODS[name].target_source is not TargetSource.NONE
