"""The target of the second stage: the teachers and their fusion network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..config import TeacherOptions
from ..errors import OptionError
from ..weights.loading import load_weights
from ..weights.metadata import METADATA
from ..weights.networks import build
from .base import Frozen

if TYPE_CHECKING:
    from .ensemble import TeacherEnsemble


def match_teachers(
    names: Sequence[str], metadata: Mapping[str, Any] | None, path: str
) -> list[str] | None:
    """Return the order of teachers that a fusion checkpoint was trained with.

    Args:
        names: Teachers of the option file.
        metadata: What the checkpoint says, if it says anything.
        path: The checkpoint, for messages.

    Returns:
        The order; None if the checkpoint does not name its teachers.

    Raises:
        OptionError: the option file names other teachers.
    """
    trained = None if metadata is None else metadata.get('teachers')
    if trained is None:
        return None
    missing = [n for n in trained if n not in names]
    unknown = [n for n in names if n not in trained]
    if missing or unknown:
        raise OptionError(
            f"teachers: {', '.join(names)}; the fusion network '{path}' was trained with "
            f'{", ".join(trained)}'
            + (f'; missing: {", ".join(missing)}' if missing else '')
            + (f'; unknown to it: {", ".join(unknown)}' if unknown else '')
        )
    return list(trained)


def check_channels(network: nn.Module, teachers: Sequence[str], key: str) -> None:
    """Raise if the input channels of a fusion network are not three for each teacher.

    Args:
        network: Fusion network.
        teachers: Names.
        key: Where the network stands in the option file.

    Raises:
        OptionError: they do not fit.
    """
    channels = getattr(network, 'in_chans', None)
    if channels is not None and channels != 3 * len(teachers):
        raise OptionError(
            f'{key}.in_chans: {channels}; expected {3 * len(teachers)}, 3 for each of the '
            f'{len(teachers)} teachers {", ".join(teachers)}'
        )


class FusedTeachers(Frozen):
    """The target of the second stage: all teachers, and the frozen network over their outputs.

    Args:
        ensemble: The teachers; put into the order that the fusion network was trained with.
        fusion: The fusion network.
        device: Where it runs.

    Raises:
        OptionError, WeightsError: the fusion network cannot be built, loaded, or belongs to other
        teachers.

    Shape:
        - Input: as for the ensemble.
        - Output: (b, 3, scale · h, scale · w), RGB, cut to [0, 1].
    """

    def __init__(
        self,
        ensemble: 'TeacherEnsemble',
        fusion: TeacherOptions,
        device: str | torch.device = 'cpu',
    ) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.fusion = build(fusion.network, 'fusion.network')
        check_channels(self.fusion, ensemble.names, 'fusion.network')
        content = load_weights(
            self.fusion, fusion.weights, 'fusion.weights', fusion.strict, fusion.param_key
        )
        order = match_teachers(ensemble.names, content.get(METADATA), fusion.weights)
        self.order_known = order is not None
        ensemble.reorder(order or ensemble.names)
        self.freeze(device, ensemble.channels_last)

    def set_precision(self, precision: str) -> None:
        """Make teachers and fusion network run in ``'fp32'`` or ``'bf16'`` from now on."""
        self.ensemble.set_precision(precision)
        self.lay_out(self.ensemble.channels_last)

    def forward(self, lq: torch.Tensor, precomputed: torch.Tensor | None = None) -> torch.Tensor:
        """Run all teachers, and the fusion network on their outputs.

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
        """Return one line for each network, in the order in which they are used."""
        lines = self.ensemble.describe()
        size = sum(p.numel() for p in self.fusion.parameters())
        lines.append(
            f'Fusion: {type(self.fusion).__name__}, {size:,d} parameters, over '
            f'{", ".join(self.ensemble.names)}'
        )
        if not self.order_known:
            lines.append(
                'Fusion: its checkpoint does not name its teachers; they are taken in the order of '
                'the option file'
            )
        return lines
