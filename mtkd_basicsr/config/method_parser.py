"""Parsing of ``train.kd``."""

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError, did_you_mean
from .collecting import ErrorCollector, RaiseFirst
from .methods import DistillationConfig, MethodConfig, MethodSpec, TargetSource
from .parsing import parse
from .schema import KDOptions

# Removed keys of ``train.kd``, and the last version that had them. docs/results/README.md reports
# what was measured with them.
_REMOVED_KEYS = {'anneal': '0.1.0', 'selective': '0.1.0'}


def _parse_method(methods: Mapping[str, MethodSpec], block: Any, key: str) -> MethodConfig:
    for name, version in _REMOVED_KEYS.items():
        if isinstance(block, dict) and name in block:
            raise OptionError(
                f'{key}.{name}: this key was removed after version {version}; delete it '
                '(docs/results/retired_differences.csv has the measurements)'
            )
    # Only the type: it determines the other keys.
    only_type = {'type': block['type']} if isinstance(block, dict) and 'type' in block else block
    name = parse(KDOptions, only_type, key).type
    if name not in methods:
        raise OptionError(f"{key}.type: unknown method '{name}'; {did_you_mean(name, methods)}")
    return MethodConfig(parse(methods[name].Options, block, key), methods[name], key)


def parse_distillation(
    methods: Mapping[str, MethodSpec], block: Any, errors: ErrorCollector | None = None
) -> DistillationConfig:
    """Parse ``train.kd``, including the methods in ``also``.

    Args:
        methods: Known methods, by name.
        block: Value of ``train.kd`` in the option file.
        errors: Receives the errors of ``also``; by default the first one is raised.

    Returns:
        The methods.

    Raises:
        OptionError: A method or key is unknown, a value has the wrong type, or methods cannot be
            combined.
    """
    errors = RaiseFirst() if errors is None else errors
    if block is None:
        raise OptionError(
            f'train.kd.type: missing; name a method, or Scratch for none; known: '
            f'{", ".join(methods)}'
        )
    main = _parse_method(methods, block, 'train.kd')
    kd = main.options
    also: list[MethodConfig] = []
    with errors.collect_errors():
        if main.spec.target_source is TargetSource.NONE and kd.also:
            raise OptionError(
                f'train.kd.also: {kd.also}, but {kd.type} has no teacher; set train.kd.type to one '
                'of them'
            )
        for i, entry in enumerate(kd.also or []):
            key = f'train.kd.also[{i}]'
            block = {'type': entry} if isinstance(entry, str) else entry
            method = _parse_method(methods, block, key)
            _check_combination(methods, method, previous=[main, *also])
            also.append(method)
    return DistillationConfig(main, tuple(also))


def _check_combination(
    methods: Mapping[str, MethodSpec], method: MethodConfig, previous: list[MethodConfig]
) -> None:
    """Raise if a method of ``also`` adds nothing to the methods before it."""
    main = previous[0].options.type
    name = method.options.type
    used = [config.options.type for config in previous]
    if name in used or not method.spec.has_own_losses:
        known = []
        for candidate, spec in methods.items():
            if spec.has_own_losses and candidate != main:
                known.append(candidate)
        raise OptionError(
            f"{method.key}: '{name}' adds nothing to {main}; expected others of {', '.join(known)}"
        )
    if method.options.also:
        raise OptionError(
            f'{method.key}.also: {method.options.also}; only train.kd itself can have this key'
        )
