"""The networks that the methods of one training share: the student, and frozen ones as needed."""

from contextlib import ExitStack
from typing import cast

import torch
from torch import nn

from ..config import KDOptions, TargetSource, TrainingConfig, require
from ..data.cache.validation import matching_cache
from ..errors import OptionError, did_you_mean
from ..teachers import FusedTeachers, TeacherEnsemble
from .features import FeatureTap


class TeacherProvider:
    """The student and its teachers, shared by the methods of a training.

    Networks are built when somebody needs them: with a cache of all that is used, none is.

    Args:
        config: The option file, with its methods.
        device: Where the student is.
        student: The bare network that is trained.

    Attributes:
        teacher: Whose output the target is, where it is not fused, and whose features are read
            where a method names nobody; None if that has to be named.
        ensembles: Teachers that were built, by name.
        fused_teachers: The target's network, where it was built.
        cached: Which channels of a cached batch are the target; None without a cache.
        cached_precision: What the networks ran in that made them.
    """

    def __init__(
        self, config: TrainingConfig, device: str | torch.device, student: nn.Module
    ) -> None:
        self.config = config
        self.device = device
        self.scale = config.scale
        self.precision = config.speed.teacher_precision
        self.fused = config.uses_fusion
        self.student_tap = FeatureTap(student)
        self._taps: dict[str, FeatureTap] = {}
        self.ensembles: dict[str, TeacherEnsemble] = {}
        self.fused_teachers: FusedTeachers | None = None
        self.cached: slice | None = None
        self.cached_precision: str | None = None
        self.teachers = dict(config.teachers)
        self.teacher: str | None = None
        if config.target_source is TargetSource.NONE:
            return
        asked = None if config.distillation is None else config.distillation.main.options.teacher
        # Where the target is fused, it is whose features are read, if one is named.
        if asked is not None or not self.fused:
            self.teacher = self._choose(asked, 'train.kd.teacher')
        self._match_cache()

    @property
    def batch_size(self) -> int:
        """Return the number of images in a step of this process."""
        return require(self.config.options, 'datasets', 'train', 'batch_size_per_gpu')

    def _match_cache(self) -> None:
        """Find out whether the target of a step is in the cache, and where."""
        cached = matching_cache(self.config, None if self.fused else self.teacher)
        if cached is None:
            return
        start = 0 if self.fused else 3 * list(cached.teachers).index(cast(str, self.teacher))
        self.cached = slice(start, start + 3)
        self.cached_precision = cached.settings.precision

    def _choose(self, name: str | None, key: str) -> str:
        if name is None and len(self.teachers) == 1:
            return next(iter(self.teachers))
        if name is None or name not in self.teachers:
            raise OptionError(
                f'{key}: {name!r}; name one of the teachers; {did_you_mean(name, self.teachers)}'
            )
        return name

    def teacher_of(self, options: KDOptions, key: str) -> str:
        """Return the name of the teacher whose features a method compares with.

        Args:
            options: Of the method.
            key: Where they stand in the option file, for messages.

        Raises:
            OptionError: it names none of the teachers, or there are several to choose from.
        """
        return self._choose(options.teacher or self.teacher, f'{key}.teacher')

    def build_target(self) -> None:
        """Build what :meth:`target` needs, before the methods, which share its networks."""
        if not self.fused:
            self._ensemble_of(cast(str, self.teacher))
            return
        fusion = self.config.fusion or require(self.config.options, 'fusion')
        ensemble = TeacherEnsemble(self.teachers, self.scale, self.device, self.precision)
        self.fused_teachers = FusedTeachers(ensemble, fusion, self.device)
        self.ensembles = dict.fromkeys(self.teachers, ensemble)

    def _ensemble_of(self, name: str) -> TeacherEnsemble:
        if name not in self.ensembles:
            self.ensembles[name] = TeacherEnsemble(
                {name: self.teachers[name]}, self.scale, self.device, self.precision
            )
        return self.ensembles[name]

    def set_precision(self, precision: str) -> None:
        """Make all frozen networks run in ``'fp32'`` or ``'bf16'`` from now on."""
        self.precision = precision
        for ensemble in self.ensembles.values():
            ensemble.set_precision(precision)
        if self.fused_teachers is not None:
            self.fused_teachers.set_precision(precision)

    def network(self, name: str) -> nn.Module:
        """Return one frozen teacher, bare."""
        return self._ensemble_of(name).network(name)

    def autocast(self, name: str) -> torch.autocast:
        """Return the precision that a teacher runs in, as a context manager."""
        return self._ensemble_of(name).autocast()

    def teacher_tap(self, name: str) -> FeatureTap:
        """Return the tap of a teacher, which has only one."""
        if name not in self._taps:
            self._taps[name] = FeatureTap(self.network(name))
        return self._taps[name]

    def target(self, lq: torch.Tensor) -> torch.Tensor:
        """Compute what the student shall make of images, without gradients.

        Args:
            lq: (b, 3, h, w).

        Returns:
            (b, 3, scale · h, scale · w).
        """
        return (self.fused_teachers or self._ensemble_of(cast(str, self.teacher)))(lq)

    def target_and_features(
        self, lq: torch.Tensor, wanted: bool
    ) -> tuple[torch.Tensor | None, dict[str, dict[str, torch.Tensor]]]:
        """Compute the target, and the features of all teachers that somebody reads.

        Teachers run once. Where the target is not wanted, they run as far as the last feature.

        Args:
            lq: (b, 3, h, w).
            wanted: Whether the target has to be computed.

        Returns:
            (b, 3, scale · h, scale · w), and features by teacher and position.
        """
        features: dict[str, dict[str, torch.Tensor]] = {}
        target = None
        taps = {name: tap for name, tap in self._taps.items() if tap.positions}
        if wanted:
            with ExitStack() as stack:
                features = {
                    name: stack.enter_context(tap.reading(lq.shape[-2:]))
                    for name, tap in taps.items()
                    if self.fused or name == self.teacher
                }
                target = self.target(lq)
        for name, tap in taps.items():
            if name not in features:
                with torch.no_grad(), self.autocast(name):
                    features[name] = tap.features(lq)
        return target, features

    def describe(self) -> list[str]:
        """Return lines for the log: what the student learns from."""
        if self.fused_teachers is not None:
            return self.fused_teachers.describe()
        return [line for ensemble in self.ensembles.values() for line in ensemble.describe()]
