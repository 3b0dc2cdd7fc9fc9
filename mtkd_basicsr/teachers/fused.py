"""Teachers with their fusion network, which compute the target of stage 2."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..config import TeacherOptions
from ..errors import OptionError
from ..weights.loading import load_weights
from ..weights.metadata import METADATA
from ..weights.networks import build
from ..weights.reading import recorded_network
from .base import Frozen

if TYPE_CHECKING:
    from .ensemble import TeacherEnsemble


def match_teachers(
    names: Sequence[str], metadata: Mapping[str, Any] | None, path: str
) -> list[str] | None:
    """Return the order of the teachers in the training of a fusion checkpoint.

    Args:
        names: Teachers of the option file.
        metadata: Metadata of the checkpoint; None without any.
        path: Path of the checkpoint, for messages.

    Returns:
        The order; None if the checkpoint does not name its teachers.

    Raises:
        OptionError: The option file names other teachers.
    """
    trained = None if metadata is None else metadata.get('teachers')
    if trained is None:
        return None
    missing = [name for name in trained if name not in names]
    unknown = [name for name in names if name not in trained]
    if missing or unknown:
        text = (
            f"teachers: {', '.join(names)}; the fusion network '{path}' was trained with "
            f'{", ".join(trained)}'
        )
        if missing:
            text += f'; missing: {", ".join(missing)}'
        if unknown:
            text += f'; unknown to it: {", ".join(unknown)}'
        raise OptionError(text)
    return list(trained)


def check_channels(network: nn.Module, teachers: Sequence[str], key: str) -> None:
    """Raise if a fusion network does not have three input channels per teacher.

    Args:
        network: The fusion network.
        teachers: Names of the teachers.
        key: Option key of the network, for messages.

    Raises:
        OptionError: The number of channels is wrong.
    """
    channels = getattr(network, 'in_chans', None)
    if channels is not None and channels != 3 * len(teachers):
        raise OptionError(
            f'{key}.in_chans: {channels}; expected {3 * len(teachers)}, 3 for each of the '
            f'{len(teachers)} teachers {", ".join(teachers)}'
        )


def build_fusion(fusion: TeacherOptions) -> nn.Module:
    """Build a fusion network, with random weights.

    Raises:
        OptionError: The options have no network, and the file of the weights records none; or the
            network cannot be built.
    """
    block = fusion.network or recorded_network(fusion.weights, 'fusion.weights')
    if block is None:
        raise OptionError(
            f"fusion.network: missing; '{fusion.weights}' does not record its network"
        )
    return build(block, 'fusion.network')


class FusedTeachers(Frozen):
    """All teachers followed by the frozen fusion network, which compute the target of stage 2.

    Args:
        ensemble: The teachers. They are reordered as in the training of the fusion network.
        fusion: The fusion network.
        device: Device of the fusion network.

    Raises:
        OptionError: The fusion network cannot be built, or was trained with other teachers.
        WeightsError: The weights of the fusion network cannot be loaded.

    Attributes:
        order_known: Whether the checkpoint of the fusion network names its teachers.
        own_warnings: What the fusion network took from its file only in part.

    Shape:
        - Input: As for the ensemble.
        - Output: (b, 3, scale · h, scale · w), RGB, clamped to [0, 1].
    """

    def __init__(
        self,
        ensemble: 'TeacherEnsemble',
        fusion: TeacherOptions,
        device: str | torch.device = 'cpu',
    ) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.fusion = build_fusion(fusion)
        check_channels(self.fusion, ensemble.names, 'fusion.network')
        content, warning = load_weights(
            self.fusion, fusion.weights, 'fusion.weights', fusion.strict, fusion.param_key
        )
        self.own_warnings = [] if warning is None else [warning]
        order = match_teachers(ensemble.names, content.get(METADATA), fusion.weights)
        self.order_known = order is not None
        ensemble.reorder(order or ensemble.names)
        self.freeze(device, ensemble.channels_last)

    @property
    def warnings(self) -> list[str]:
        """Return what teachers and fusion network took from their files only in part."""
        return [*self.ensemble.warnings, *self.own_warnings]

    def set_precision(self, precision: str) -> None:
        """Run teachers and fusion network in ``'fp32'`` or ``'bf16'`` from now on."""
        self.ensemble.set_precision(precision)
        self.set_memory_format(self.ensemble.channels_last)

    def forward(self, lq: torch.Tensor, precomputed: torch.Tensor | None = None) -> torch.Tensor:
        """Run all teachers, then the fusion network on their outputs.

        Args:
            lq: (b, 3, h, w).
            precomputed: (b, 3 · M, scale · h, scale · w), outputs of the teachers that do not run
                here.

        Returns:
            (b, 3, scale · h, scale · w).
        """
        outputs = self.ensemble(lq, precomputed)
        with torch.no_grad(), self.ensemble.autocast():
            return self.fusion(outputs).float().clamp_(0, 1)

    def describe(self) -> list[str]:
        """Return one line per network, in the order of use, for the log."""
        lines = self.ensemble.describe()
        size = sum(p.numel() for p in self.fusion.parameters())
        lines.append(
            f'Fusion: {type(self.fusion).__name__}, {size:,d} parameters, over '
            f'{", ".join(self.ensemble.names)}'
        )
        if not self.order_known:
            lines.append(
                'Fusion: its checkpoint does not name its teachers; they are used in the order of '
                'the option file'
            )
        return lines
