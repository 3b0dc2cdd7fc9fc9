"""The frozen networks that a student learns from."""

import functools
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import nn

from ..config import FolderOptions, TeacherOptions
from ..errors import OptionError
from ..functional.padding import run_padded
from ..utils.precision import teacher_precision
from ..weights.loading import load_weights
from ..weights.networks import SPANDREL, arch_name, build, size_multiple
from .precomputed import FolderTeacher
from .spandrel import load_spandrel

_Frozen = TypeVar('_Frozen', bound='Frozen')


class Frozen(nn.Module):
    """A module that is never trained.

    It is in ``eval()`` for ever, without gradients, and has no part in anybody's training mode.
    """

    def freeze(self, device: str | torch.device, channels_last: bool) -> None:
        """Move everything to the device for good, at the end of ``__init__``."""
        self.to(device)
        self.lay_out(channels_last)
        self.requires_grad_(False)
        super().train(False)

    def lay_out(self, channels_last: bool) -> None:
        """Set how weights lie in memory."""
        self.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def train(self: _Frozen, mode: bool = True) -> _Frozen:
        """Leave the module in evaluation mode, whatever is asked for."""
        return self


def _load(options: TeacherOptions, key: str) -> nn.Module:
    if options.network.get('type') == SPANDREL:
        return load_spandrel(options, key)
    net = build(options.network, f'{key}.network')
    load_weights(net, options.weights, f'{key}.weights', options.strict, options.param_key)
    return net


class TeacherEnsemble(Frozen):
    """Several super-resolution networks, ordered, named and frozen.

    Args:
        teachers: By name; their order is the order of the outputs.
        scale: What each of them has to enlarge by.
        device: Where they run.
        precision: ``'fp32'``, ``'bf16'`` for autocast, or ``'auto'`` for the one that the device is
            made for; None is ``'auto'`` on a GPU and fp32 on a CPU. With bf16, and on a GPU,
            weights lie in channels_last.
        folders: Whether teachers may be folders of images, whose outputs are then given with each
            image.

    Raises:
        OptionError: a network cannot be built, its output does not have the size that ``scale``
            asks for, or it is a folder; the device has no kernels for the precision.
        WeightsError: a file with weights is missing or does not fit.

    Attributes:
        precision: ``'fp32'`` or ``'bf16'``: what they run in. It is fp32 for all where one of them
            cannot do the other.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], any size: each network gets it padded as it needs;
          with folders also what they have for it, (b, 3 · M, scale · h, scale · w), in the order of
          ``given_names``.
        - Output: (b, 3 · N, scale · h, scale · w), RGB, cut to [0, 1].
    """

    def __init__(
        self,
        teachers: Mapping[str, TeacherOptions | FolderOptions],
        scale: int,
        device: str | torch.device = 'cpu',
        precision: str | None = None,
        folders: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.device = device
        self.names = list(teachers)
        self.networks = nn.ModuleList()
        for name, options in teachers.items():
            key = f'teachers.{name}'
            if isinstance(options, FolderOptions) and not folders:
                raise FolderTeacher.refusal(key)
            self.networks.append(
                FolderTeacher(options, key)
                if isinstance(options, FolderOptions)
                else _load(options, key)
            )
        self._choose(teacher_precision(precision, device).name)
        self.freeze(device, self.channels_last)
        for name, net in zip(self.names, self.networks, strict=True):
            if name not in self.given_names:
                self._check_scale(name, net, device)

    def _choose(self, precision: str) -> None:
        # Nobody but spandrel says of a network that it cannot.
        able = all(getattr(net, 'supports_bf16', True) for net in self.networks)
        self.precision = precision if able else 'fp32'
        device = torch.device(self.device).type
        bf16 = self.precision == 'bf16'
        self.channels_last = bf16 or device == 'cuda'
        self.autocast = functools.partial(torch.autocast, device, torch.bfloat16, enabled=bf16)

    def set_precision(self, precision: str) -> None:
        """Make teachers run in ``'fp32'`` or ``'bf16'`` from now on."""
        self._choose(precision)
        self.lay_out(self.channels_last)

    @property
    def given_names(self) -> list[str]:
        """Return the names of the teachers that are folders, in the order of the outputs."""
        return [
            name
            for name, net in zip(self.names, self.networks, strict=True)
            if isinstance(net, FolderTeacher)
        ]

    def folder(self, name: str) -> FolderTeacher:
        """Return the folders of a teacher in ``given_names``."""
        return cast(FolderTeacher, self.networks[self.names.index(name)])

    def given(
        self, name: str, size: Sequence[int], validation: bool = False
    ) -> torch.Tensor | None:
        """Return what the teachers that are folders have for an image.

        Args:
            name: Path of its ground truth, or the end of it.
            size: Height and width of the ground truth.
            validation: Whether it is an image of a validation.

        Returns:
            (1, 3 · M, height, width), RGB, [0, 1]; None if no teacher is a folder.

        Raises:
            DataError: an image is not there, not readable, or of another size.
        """
        images = [self.folder(each).read(name, size, validation) for each in self.given_names]
        return torch.cat(images, 1).to(self.device) if images else None

    def _check_scale(self, name: str, net: nn.Module, device: str | torch.device) -> None:
        multiple = size_multiple(net)
        size = -(-16 // multiple) * multiple
        x = torch.zeros(1, 3, size, size, device=device)
        try:
            with torch.no_grad(), self.autocast():
                shape = tuple(net(x).shape)
        except RuntimeError as error:
            raise OptionError(
                f'teachers.{name}: fails for input {tuple(x.shape)}: {error}'
            ) from error
        expected = (1, 3, size * self.scale, size * self.scale)
        if shape != expected:
            raise OptionError(
                f'teachers.{name}: output {shape} for input {tuple(x.shape)}; scale is '
                f'{self.scale}, '
                f'expected {expected}'
            )

    def _run(self, net: nn.Module, lq: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), self.autocast():
            return run_padded(net, lq, size_multiple(net), self.scale).float()

    def reorder(self, names: Sequence[str]) -> None:
        """Put the teachers into the order of ``names``, the same names in any order."""
        index = [self.names.index(name) for name in names]
        self.networks = nn.ModuleList(self.networks[i] for i in index)
        self.names = list(names)

    def forward(self, lq: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
        """Run all teachers.

        Args:
            lq: (b, 3, h, w).
            given: (b, 3 · M, scale · h, scale · w), what the teachers that are folders have.

        Returns:
            (b, 3 · N, scale · h, scale · w).
        """
        images = iter(() if given is None else given.split(3, 1))
        return torch.cat(
            [
                next(images)
                if given is not None and isinstance(net, FolderTeacher)
                else self._run(net, lq)
                for net in self.networks
            ],
            1,
        ).clamp_(0, 1)

    def mean(self, lq: torch.Tensor) -> torch.Tensor:
        """Compute the plain mean of the outputs: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return self(lq).unflatten(1, (-1, 3)).mean(1)

    def describe(self) -> list[str]:
        """Return one line for each teacher."""
        return [
            f'Teacher {name}: {arch_name(net)}, {sum(p.numel() for p in net.parameters()):,d} '
            'parameters'
            for name, net in zip(self.names, self.networks, strict=True)
        ]
