"""Several frozen teachers with a common input and concatenated outputs."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import nn

from ..config import TeacherConfig
from ..utils.precision import teacher_precision
from .base import Frozen, Teacher
from .kinds import build_teacher


class TeacherEnsemble(Frozen):
    """Several named, ordered and frozen super-resolution networks.

    Args:
        teachers: Options of the teachers by name, in the order of the outputs.
        scale: Upscaling factor of all teachers.
        device: Device of the teachers.
        precision: ``'fp32'``, ``'bf16'`` for autocast, or ``'auto'`` for bf16 if the device
            supports it natively; None is ``'auto'`` on a GPU and fp32 on a CPU. With bf16, and on a
            GPU, weights are stored in channels_last.
        allow_precomputed: Whether teachers may be folders of images, whose outputs are then passed
            with each image.

    Raises:
        OptionError: A network cannot be built, its output does not have the size required by
            ``scale``, a teacher is a folder, or the device does not support the precision.
        WeightsError: A weights file is missing or does not fit.

    Attributes:
        names: Names of the teachers, in order.
        precision: Precision in use, ``'fp32'`` or ``'bf16'``: fp32 if a teacher does not support
            bf16.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], any size; it is padded for each network as needed. With
          folders also their outputs, (b, 3 · M, scale · h, scale · w), in the order of
          ``precomputed_names``.
        - Output: (b, 3 · N, scale · h, scale · w), RGB, clamped to [0, 1].
    """

    def __init__(
        self,
        teachers: Mapping[str, TeacherConfig],
        scale: int,
        device: str | torch.device = 'cpu',
        precision: str | None = None,
        allow_precomputed: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.device = device
        self.names = list(teachers)
        self._teacher_modules = nn.ModuleList()
        for name, options in teachers.items():
            key = f'teachers.{name}'
            if not options.runs_here and not allow_precomputed:
                raise options.cannot_run(key)
            self._teacher_modules.append(cast(nn.Module, build_teacher(options, key)))
        self._apply_precision(teacher_precision(precision, device).name)
        self.freeze(device, self.channels_last)
        with self.autocast():
            for name, teacher in zip(self.names, self.teachers, strict=True):
                teacher.check_scale(f'teachers.{name}', scale, device)

    @property
    def teachers(self) -> Sequence[Teacher]:
        """Return the teachers, in the order of ``names``."""
        return [cast(Teacher, module) for module in self._teacher_modules]

    @property
    def networks(self) -> list[nn.Module]:
        """Return the bare networks of the teachers that run here, in the order of ``names``."""
        modules: Iterable[nn.Module] = self._teacher_modules
        return [cast(nn.Module, module.network) for module in modules if module.runs_here]

    def teacher(self, name: str) -> Teacher:
        """Return a teacher by its name."""
        return self.teachers[self.names.index(name)]

    def network(self, name: str) -> nn.Module:
        """Return the bare network of a teacher that runs here."""
        return cast(nn.Module, self._teacher_modules[self.names.index(name)].network)

    def _apply_precision(self, precision: str) -> None:
        all_support_bf16 = all(teacher.supports_bf16 for teacher in self.teachers)
        self.precision = precision if all_support_bf16 else 'fp32'
        device = torch.device(self.device).type
        bf16 = self.precision == 'bf16'
        self.channels_last = bf16 or device == 'cuda'
        self.autocast = functools.partial(torch.autocast, device, torch.bfloat16, enabled=bf16)

    def set_precision(self, precision: str) -> None:
        """Run the teachers in ``'fp32'`` or ``'bf16'`` from now on."""
        self._apply_precision(precision)
        self.set_memory_format(self.channels_last)

    @property
    def precomputed_names(self) -> list[str]:
        """Return the names of teachers that do not run here, in the order of their outputs."""
        named = zip(self.names, self.teachers, strict=True)
        return [name for name, teacher in named if not teacher.runs_here]

    def check_outputs(self, images: Sequence[Sequence[object]], validation: bool = False) -> None:
        """Raise if a teacher that does not run here lacks the output for an image.

        Args:
            images: ``[name, height, width]`` of each ground truth.
            validation: Whether the images belong to a validation or test set.

        Raises:
            DataError: An output is missing or has another size.
        """
        for teacher in self.teachers:
            teacher.check_outputs(images, validation)

    def precomputed_outputs(
        self, name: str, size: Sequence[int], validation: bool = False
    ) -> torch.Tensor | None:
        """Read the outputs of teachers that do not run here for an image.

        Args:
            name: Path of the ground truth, or the end of it.
            size: Height and width of the ground truth.
            validation: Whether the image belongs to a validation or test set.

        Returns:
            (1, 3 · M, height, width), RGB, [0, 1]; None if all teachers run here.

        Raises:
            DataError: An output is missing, unreadable, or has another size.
        """
        names = self.precomputed_names
        if not names:
            return None
        outputs = [self.teacher(teacher).read(name, size, validation) for teacher in names]
        return torch.cat(outputs, 1).to(self.device)

    def reorder(self, names: Sequence[str]) -> None:
        """Reorder the teachers as in ``names``, a permutation of their names."""
        modules = [self._teacher_modules[self.names.index(name)] for name in names]
        self._teacher_modules = nn.ModuleList(modules)
        self.names = list(names)

    def forward(self, lq: torch.Tensor, precomputed: torch.Tensor | None = None) -> torch.Tensor:
        """Run all teachers.

        Args:
            lq: (b, 3, h, w).
            precomputed: (b, 3 · M, scale · h, scale · w), outputs of the teachers in
                ``precomputed_names``.

        Returns:
            (b, 3 · N, scale · h, scale · w).
        """
        next_precomputed = iter(() if precomputed is None else precomputed.split(3, 1))
        outputs = []
        for teacher in self.teachers:
            if precomputed is not None and not teacher.runs_here:
                outputs.append(next(next_precomputed))
                continue
            with torch.no_grad(), self.autocast():
                outputs.append(teacher.enlarge(lq, self.scale).float())
        return torch.cat(outputs, 1).clamp_(0, 1)

    def mean(self, lq: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the outputs: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return self(lq).unflatten(1, (-1, 3)).mean(1)

    @property
    def warnings(self) -> list[str]:
        """Return what teachers took from their files only in part, for the log."""
        found = [getattr(module, 'warning', None) for module in self._teacher_modules]
        return [str(warning) for warning in found if warning is not None]

    def describe(self) -> list[str]:
        """Return one line per teacher, for the log."""
        lines = []
        for name, module in zip(self.names, self._teacher_modules, strict=True):
            count = sum(p.numel() for p in module.parameters())
            lines.append(f'Teacher {name}: {module.arch_name}, {count:,d} parameters')
        return lines
