"""The networks that the methods of a training share: the student and its frozen teachers."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import cast

import torch
from torch import nn

from ..config import KDOptions, TargetSource, TrainingConfig, require
from ..data.cache.validation import matching_cache
from ..errors import OptionError, did_you_mean
from ..teachers import FusedTeachers, TeacherEnsemble
from ..teachers.cuda_graphs import RecordedCalls
from .features import FeatureTap


def choose_teacher(name: str | None, teachers: Iterable[str], key: str) -> str:
    """Return the name of the teacher that a method uses.

    Args:
        name: The name in the option file; None without one.
        teachers: Names of all teachers.
        key: Option key of the name, for messages.

    Raises:
        OptionError: The name is unknown, or missing although there are several teachers.
    """
    known = list(teachers)
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        raise OptionError(
            f'{key}: {name!r}; expected the name of a teacher; {did_you_mean(name, known)}'
        )
    return name


class TeacherProvider:
    """The student and its teachers, shared by the methods of a training.

    Teachers are built on demand: none is built if a cache holds everything that is used.

    Args:
        config: The option file.
        device: Device of the student.
        student: The student, not wrapped for parallel training.

    Raises:
        OptionError: ``train.kd.teacher`` names no teacher, or the dataset cannot read the cache.
        CacheError: The target cache belongs to other options.

    Attributes:
        teacher: Name of the teacher whose output is the target, unless it is fused, and whose
            features are compared unless a method names another; None if methods must name one.
        asked_for: Names of the teachers that a method has asked for by name.
        ensembles: The teachers built so far, by name.
        fused_teachers: Teachers and fusion network of a fused target; None if not built.
        cached: Channels of a cached batch that are the target; None without a cache.
        cached_precision: Precision with which the cache was computed; None if unknown.
        student_precision: Precision of the student, ``'fp32'`` or ``'bf16'``.
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
        self._recorded: RecordedCalls | None = None
        self.cached: slice | None = None
        self.cached_precision: str | None = None
        self.student_precision = 'fp32'
        self.teachers = dict(config.teachers)
        self.teacher: str | None = None
        self.asked_for: set[str] = set()
        if config.target_source is TargetSource.NONE:
            return
        named = None if config.distillation is None else config.distillation.main.options.teacher
        # With a fused target the teacher is used only for features, and only if it is named.
        if named is not None or not self.fused:
            self.teacher = choose_teacher(named, self.teachers, 'train.kd.teacher')
        self._match_cache()

    @property
    def batch_size(self) -> int:
        """Return the batch size of this process."""
        return require(self.config.options, 'datasets', 'train', 'batch_size_per_gpu')

    @property
    def patch(self) -> int | None:
        """Return the side of the low-resolution patches, in pixels; None if unknown."""
        size = self.config.train_dataset.gt_size
        return None if size is None else size // self.scale

    def _match_cache(self) -> None:
        """Find the channels of the target in the cache, if there is a cache."""
        cached = matching_cache(self.config, None if self.fused else self.teacher)
        if cached is None:
            return
        start = 0 if self.fused else 3 * list(cached.teachers).index(cast(str, self.teacher))
        self.cached = slice(start, start + 3)
        self.cached_precision = cached.settings.precision

    def teacher_of(self, options: KDOptions, key: str) -> str:
        """Return the name of the teacher of a method.

        Args:
            options: Options of the method.
            key: Option key of the method, for messages.

        Raises:
            OptionError: ``teacher`` is not a known teacher, or is not set and there are several.
        """
        name = choose_teacher(options.teacher or self.teacher, self.teachers, f'{key}.teacher')
        self.asked_for.add(name)
        return name

    def build_target(self) -> None:
        """Build the networks of :meth:`target`, before the methods, which share them."""
        if not self.fused:
            self._ensemble_of(cast(str, self.teacher))
            return
        assert self.config.fusion is not None  # parsing fails without it
        ensemble = TeacherEnsemble(self.teachers, self.scale, self.device, self.precision)
        self.fused_teachers = FusedTeachers(ensemble, self.config.fusion, self.device)
        self.ensembles = dict.fromkeys(self.teachers, ensemble)

    def _ensemble_of(self, name: str) -> TeacherEnsemble:
        if name not in self.ensembles:
            self.ensembles[name] = TeacherEnsemble(
                {name: self.teachers[name]}, self.scale, self.device, self.precision
            )
        return self.ensembles[name]

    def set_precision(self, precision: str) -> None:
        """Run all frozen networks in ``'fp32'`` or ``'bf16'`` from now on."""
        self.precision = precision
        for ensemble in self.ensembles.values():
            ensemble.set_precision(precision)
        if self.fused_teachers is not None:
            self.fused_teachers.set_precision(precision)
        if self._recorded is not None:
            self._recorded.forget()

    def record_graphs(self) -> None:
        """Record the kernels of :meth:`target` as CUDA graphs, unless features are read as well."""
        self._recorded = RecordedCalls(self._run_target)

    def network(self, name: str) -> nn.Module:
        """Return the bare network of a teacher."""
        self.asked_for.add(name)
        return self._ensemble_of(name).network(name)

    def autocast(self, name: str) -> torch.autocast:
        """Return a context manager with the precision of a teacher."""
        return self._ensemble_of(name).autocast()

    def teacher_tap(self, name: str) -> FeatureTap:
        """Return the tap of a teacher, which all methods share."""
        self.asked_for.add(name)
        if name not in self._taps:
            self._taps[name] = FeatureTap(self.network(name))
        return self._taps[name]

    def target(self, lq: torch.Tensor) -> torch.Tensor:
        """Compute the target of images, without gradients.

        Args:
            lq: (b, 3, h, w).

        Returns:
            (b, 3, scale · h, scale · w).
        """
        # The hooks that read features do not run when a graph does.
        read = any(tap.positions for tap in self._taps.values())
        return self._run_target(lq) if self._recorded is None or read else self._recorded(lq)

    def _run_target(self, lq: torch.Tensor) -> torch.Tensor:
        network = self.fused_teachers or self._ensemble_of(cast(str, self.teacher))
        return cast(torch.Tensor, network(lq))

    def target_and_features(
        self, lq: torch.Tensor, with_target: bool
    ) -> tuple[torch.Tensor | None, dict[str, dict[str, torch.Tensor]]]:
        """Compute the target, and the features of all teachers with registered positions.

        Each teacher runs once; without the target it runs only up to its last feature.

        Args:
            lq: (b, 3, h, w).
            with_target: Whether to compute the target.

        Returns:
            The target, (b, 3, scale · h, scale · w), or None; and features by teacher and position.
        """
        features: dict[str, dict[str, torch.Tensor]] = {}
        target = None
        taps = {name: tap for name, tap in self._taps.items() if tap.positions}
        if with_target:
            with ExitStack() as stack:
                for name, tap in taps.items():
                    if self.fused or name == self.teacher:
                        features[name] = stack.enter_context(tap.reading(lq.shape[-2:]))
                target = self.target(lq)
        for name, tap in taps.items():
            if name not in features:
                with torch.no_grad(), self.autocast(name):
                    features[name] = tap.features(lq)
        return target, features

    def warnings(self) -> list[str]:
        """Return what teachers and fusion network took from their files only in part."""
        if self.fused_teachers is not None:
            return self.fused_teachers.warnings
        found = []
        for ensemble in self.ensembles.values():
            found += ensemble.warnings
        return found

    def describe(self) -> list[str]:
        """Return lines for the log: the networks that run."""
        if self.fused_teachers is not None:
            return self.fused_teachers.describe()
        lines = []
        for ensemble in self.ensembles.values():
            lines += ensemble.describe()
        return lines
