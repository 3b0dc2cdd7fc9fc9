"""``train.kd``: the method of a training, and those combined with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ..errors import OptionError, did_you_mean
from .collecting import ErrorCollector, RaiseFirst
from .parsing import parse
from .schema import KDOptions


class TargetSource(Enum):
    """Where the target of a method comes from: what the student's output is compared with."""

    NONE = 'none'
    TEACHER = 'teacher'
    FUSED = 'fused'


class MethodSpec(Protocol):
    """What the options of a training depend on in the class of a method.

    Attributes:
        Options: Its keys.
        has_own_losses: Whether it adds losses, so that it can stand in ``also``.
        target_source: Nothing, the output of one teacher, or the fused output of all.
        needs_target: Whether it uses the target of the images of a step.
        queries_teacher: Whether it asks for the target of other images.
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
        options: Its keys, of the class ``spec.Options``.
        spec: Its class.
        key: Where it stands in the option file, for messages: ``'train.kd.also[0]'``.
    """

    options: KDOptions
    spec: MethodSpec
    key: str


@dataclass(frozen=True)
class DistillationConfig:
    """The methods of a training.

    Attributes:
        main: That of ``train.kd.type``, which decides what the target is.
        also: Those of ``train.kd.also``.
    """

    main: MethodConfig
    also: tuple[MethodConfig, ...] = ()

    @property
    def all(self) -> tuple[MethodConfig, ...]:
        """Return all methods, the main one first."""
        return (self.main, *self.also)

    @property
    def target_source(self) -> TargetSource:
        """Return where the target comes from."""
        return self.main.spec.target_source

    @property
    def needs_distill_opt(self) -> bool:
        """Return whether the target is of no use without ``train.distill_opt``."""
        return self.main.spec.needs_target and not self.main.spec.has_own_losses


# Keys of ``train.kd`` that are no more, and the last version that had them. What was measured with
# them is in docs/results.md.
_REMOVED_KEYS = {'anneal': '0.1.0', 'selective': '0.1.0'}


def _parse_method(methods: Mapping[str, MethodSpec], block: Any, key: str) -> MethodConfig:
    for name, version in _REMOVED_KEYS.items():
        if isinstance(block, dict) and name in block:
            raise OptionError(
                f'{key}.{name}: removed, {version} was the last version that had it; remove it '
                '(docs/results.md has what was measured)'
            )
    # The type alone: which other keys there are depends on it.
    only_type = {'type': block['type']} if isinstance(block, dict) and 'type' in block else block
    name = parse(KDOptions, only_type, key).type
    if name not in methods:
        raise OptionError(f"{key}.type: unknown method '{name}'; {did_you_mean(name, methods)}")
    return MethodConfig(parse(methods[name].Options, block, key), methods[name], key)


def parse_distillation(
    methods: Mapping[str, MethodSpec], block: Any, errors: ErrorCollector | None = None
) -> DistillationConfig:
    """Parse ``train.kd`` with all that is in it.

    Args:
        methods: Known methods, by name.
        block: ``train.kd``, as it stands in the option file.
        errors: Takes the errors of ``also``; by default the first one is raised.

    Returns:
        The methods.

    Raises:
        OptionError: An unknown method or key, a value of another type, methods that cannot be
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
                f'train.kd.also: {kd.also}, but {kd.type} has no teacher; make one of them '
                'train.kd.type'
            )
        for i, entry in enumerate(kd.also or []):
            key = f'train.kd.also[{i}]'
            block = {'type': entry} if isinstance(entry, str) else entry
            method = _parse_method(methods, block, key)
            _check_combination(methods, method, [main, *also])
            also.append(method)
    return DistillationConfig(main, tuple(also))


def _check_combination(
    methods: Mapping[str, MethodSpec], method: MethodConfig, others: list[MethodConfig]
) -> None:
    """Raise if a method of ``also`` adds nothing to those before it."""
    main = others[0].options.type
    name = method.options.type
    if not method.spec.has_own_losses or name in [other.options.type for other in others]:
        known = [known for known, spec in methods.items() if spec.has_own_losses and known != main]
        raise OptionError(
            f"{method.key}: '{name}' adds nothing to {main}; expected others of {', '.join(known)}"
        )
    if method.options.also:
        raise OptionError(
            f'{method.key}.also: {method.options.also}; only train.kd itself can have it'
        )
