"""``train.kd``: the distillation method of a training, and the methods combined with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ..errors import OptionError, did_you_mean
from .collecting import ErrorCollector, RaiseFirst
from .parsing import parse
from .schema import KDOptions


class TargetSource(Enum):
    """The source of the target that the student's output is compared with."""

    NONE = 'none'
    TEACHER = 'teacher'
    FUSED = 'fused'


class MethodSpec(Protocol):
    """The properties of a method class that parsing depends on.

    Attributes:
        Options: Dataclass of the method's keys.
        has_own_losses: Whether the method adds losses, so that ``also`` can list it.
        target_source: No target, the output of one teacher, or the fused output of all.
        needs_target: Whether the method uses the target of the batch.
        queries_teacher: Whether the method computes targets of other images.
    """

    Options: type[KDOptions]
    has_own_losses: bool
    target_source: TargetSource
    needs_target: bool
    queries_teacher: bool


@dataclass(frozen=True)
class MethodConfig:
    """One method of a training.

    Attributes:
        options: Values of its keys, an instance of ``spec.Options``.
        spec: Class of the method.
        key: Option key of the method, for messages: ``'train.kd.also[0]'``.
    """

    options: KDOptions
    spec: MethodSpec
    key: str


@dataclass(frozen=True)
class DistillationConfig:
    """The methods of a training.

    Attributes:
        main: The method ``train.kd.type``, which determines the target.
        also: The methods in ``train.kd.also``.
    """

    main: MethodConfig
    also: tuple[MethodConfig, ...] = ()

    @property
    def all(self) -> tuple[MethodConfig, ...]:
        """Return all methods, the main one first."""
        return (self.main, *self.also)

    @property
    def target_source(self) -> TargetSource:
        """Return the source of the target."""
        return self.main.spec.target_source

    @property
    def needs_distill_opt(self) -> bool:
        """Return whether the target is unused without ``train.distill_opt``."""
        return self.main.spec.needs_target and not self.main.spec.has_own_losses


# Removed keys of ``train.kd``, and the last version that had them. docs/results.md reports what was
# measured with them.
_REMOVED_KEYS = {'anneal': '0.1.0', 'selective': '0.1.0'}


def _parse_method(methods: Mapping[str, MethodSpec], block: Any, key: str) -> MethodConfig:
    for name, version in _REMOVED_KEYS.items():
        if isinstance(block, dict) and name in block:
            raise OptionError(
                f'{key}.{name}: this key was removed after version {version}; delete it '
                '(docs/results.md has the measurements)'
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
