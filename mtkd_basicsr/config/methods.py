"""``train.kd``: the distillation method of a training, and the methods combined with it."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ..errors import MTKDError
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
    """

    Options: type[KDOptions]
    has_own_losses: bool
    target_source: TargetSource
    needs_target: bool

    def asks_teacher(self, options: KDOptions) -> bool:
        """Return whether the method computes targets of other images with these options."""

    def weight_files(self, options: KDOptions) -> list[str]:
        """Return the paths of the files with weights that the method reads itself."""

    def problems(self, options: KDOptions, key: str) -> list[MTKDError]:
        """Return what can be found before anything is built, such as a missing file."""


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

    @property
    def asks_teacher(self) -> bool:
        """Return whether it computes targets of other images than those of the batch."""
        return self.spec.asks_teacher(self.options)

    @property
    def weight_files(self) -> list[str]:
        """Return the paths of the files with weights that it reads itself."""
        return self.spec.weight_files(self.options)

    def problems(self) -> list[MTKDError]:
        """Return what can be found before anything is built, such as a missing file."""
        return self.spec.problems(self.options, self.key)


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
