"""Features of any network by dotted module paths, read with hooks while it runs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from ..errors import OptionError, did_you_mean, first_line
from ..functional.padding import pad_to_multiple
from ..utils.attempts import first_accepted
from ..weights.networks import size_multiple

# Number of modules that a message lists.
_MAX_LISTED = 40


def find_module(net: nn.Module, position: str, key: str) -> tuple[nn.Module, bool]:
    """Return the module of a position, and whether the position is its input."""
    path, _, side = position.partition(':')
    modules = dict(net.named_modules())
    if path not in modules or not path:
        depth = path.count('.')
        known = [name for name in modules if name and name.count('.') <= depth]
        raise OptionError(
            f"{key}: {type(net).__name__} has no module '{path}'; "
            f'{did_you_mean(path, known[:_MAX_LISTED])}'
        )
    if side not in ('', 'input', 'output'):
        raise OptionError(f"{key}: '{position}'; expected PATH, PATH:input or PATH:output")
    return modules[path], side == 'input'


def image_range(net: nn.Module) -> float:
    """Return the factor by which a network multiplies images, and thus its features.

    It is 255 for EDSR and RCAN, and 1 for SwinIR.
    """
    return float(getattr(net, 'img_range', 1.0))


def first_tensor(output: Any) -> Any:
    """Return the feature in the output of a module: the first entry, if the output has several."""
    return output[0] if isinstance(output, (tuple, list)) and output else output


class _AllRecorded(Exception):  # noqa: N818  (not an error)
    """Ends a forward pass after the last position."""


class FeatureTap:
    """Reads features of a network while it runs.

    Features are divided by :func:`image_range`, so that those of two architectures have similar
    magnitudes. Tokens of transformers are reshaped to maps, and padding is cropped. If a network
    modifies an output in place later (EDSR adds the skip connection from the head to the output of
    ``conv_after_body``), the modified feature is read.

    Args:
        net: Any network.

    Attributes:
        positions: Positions whose features are read.
        keys: Option key of each position, for messages.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.positions: list[str] = []
        self.keys: dict[str, str] = {}
        self._open = False
        self._stop_after: int | None = None
        self._raw: dict[str, torch.Tensor] = {}
        # Whether features are final when their module returns; None: unknown before a whole pass.
        self._final: bool | None = None
        self._versions: dict[str, int] = {}
        self._repeated = False
        self._range = image_range(net)

    def add(self, positions: Iterable[str], key: str = 'features') -> None:
        """Register hooks, which do nothing while the tap is closed.

        Args:
            positions: Dotted paths of modules for their outputs, or with ``:input`` for their first
                inputs.
            key: Option key of the positions, for messages.

        Raises:
            OptionError: There is no such module.
        """
        for position in positions:
            module, is_input = find_module(self.net, position, key)
            if position in self.positions:
                continue
            self.positions.append(position)
            self.keys[position] = key
            self._final = None
            if is_input:
                module.register_forward_pre_hook(
                    lambda m, args, p=position: self._record(p, args[0])
                )
            else:
                module.register_forward_hook(
                    lambda m, args, output, p=position: self._record(p, output)
                )

    @property
    def recorded(self) -> tuple[str, ...]:
        """Positions whose features are held at present; empty unless the tap is open."""
        return tuple(self._raw)

    def _record(self, position: str, value: Any) -> None:
        if self._open:
            self._repeated = self._repeated or position in self._raw
            feature = self._raw[position] = first_tensor(value)
            is_tensor = isinstance(feature, torch.Tensor)
            if self._final is None and is_tensor and not feature.is_inference():
                self._versions[position] = feature._version
            if self._stop_after is not None and len(self._raw) == self._stop_after:
                raise _AllRecorded

    @contextmanager
    def reading(self, size: Sequence[int]) -> Iterator[dict[str, torch.Tensor]]:
        """Record the features of the network's last run in this context.

        Args:
            size: Height and width of the low-resolution images.

        Yields:
            An empty mapping. At the end of the context it gets the features by position, (b, c, h,
            w), float32.
        """
        features: dict[str, torch.Tensor] = {}
        self._raw = {}
        self._open = True
        try:
            yield features
        finally:
            self._open = False
        for position in self.positions:
            features[position] = self._as_map(position, self._raw[position], size)
        self._raw = {}

    def features(self, lq: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute features of images, running the network only up to the last position.

        The first call runs all of it, and so does each one if a feature is not final before: it is
        modified in place later, or its module runs once more.

        Args:
            lq: (b, 3, h, w); padded as the network needs it.

        Returns:
            Features by position, (b, c, h, w), float32.
        """
        with self.reading(lq.shape[-2:]) as features:
            self._stop_after = len(self.positions) if self._final else None
            self._repeated = False
            try:
                with suppress(_AllRecorded):
                    self.net(pad_to_multiple(lq, size_multiple(self.net)))
            finally:
                self._stop_after = None
            if self._final is None:
                self._final = not self._repeated and self._is_unmodified()
        return features

    def _is_unmodified(self) -> bool:
        """Return whether no feature was modified in place after its module returned."""
        # A tensor of torch.inference_mode has no version: nothing is known of it.
        return all(
            not feature.is_inference() and feature._version == self._versions.get(position)
            for position, feature in self._raw.items()
        )

    def _as_map(self, position: str, value: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Turn a recorded value into a map of the size of the images."""
        h, w = size
        multiple = size_multiple(self.net)
        padded = tuple(-(-n // multiple) * multiple for n in size)
        if not isinstance(value, torch.Tensor):
            raise OptionError(
                f"{self.keys[position]}: '{position}' of {type(self.net).__name__} gives "
                f'{type(value).__name__}; expected a tensor'
            )
        if value.ndim == 3 and value.shape[1] == padded[0] * padded[1]:  # tokens: (b, h' · w', c)
            value = value.transpose(1, 2).unflatten(2, padded)
        if value.ndim != 4 or value.shape[-2:] != padded:
            raise OptionError(
                f"{self.keys[position]}: '{position}' of {type(self.net).__name__} has the shape "
                f'{tuple(value.shape)}; expected (b, c, {padded[0]}, {padded[1]}), or the '
                'corresponding tokens'
            )
        return value[..., :h, :w].float() / self._range


def widths(tap: FeatureTap, device: str | torch.device, patch: int | None = None) -> dict[str, int]:
    """Return the number of channels at each position of a tap.

    Args:
        tap: Tap of a network, whose training mode is restored afterwards.
        device: Device of the network.
        patch: Side of the patches of the training, in low-resolution pixels; None if unknown. It
            is used where the network cannot be run with a smaller input.

    Returns:
        Number of channels by position.

    Raises:
        OptionError: The network cannot be run, or a position gives no map of the size of the image.
    """
    multiple = size_multiple(tap.net)
    small = 8 if multiple == 1 else 2 * multiple
    training = tap.net.training
    tap.net.eval()
    sizes = [small] if patch is None or patch <= small else [small, patch]
    try:
        features = first_accepted(lambda size: _features_of(tap, device, size), sizes)
    finally:
        tap.net.train(training)
    return {position: feature.shape[1] for position, feature in features.items()}


def _features_of(tap: FeatureTap, device: str | torch.device, size: int) -> dict[str, torch.Tensor]:
    """Read the features of a square image.

    Raises:
        OptionError: The network cannot be run, or a position gives no map of this size.
    """
    shape = (1, 3, size, size)
    try:
        with torch.no_grad():
            return tap.features(torch.zeros(shape, device=device))
    except OptionError:
        raise
    except Exception as error:  # each network raises errors of its own
        keys = ' and '.join(dict.fromkeys(tap.keys.values()))
        raise OptionError(
            f'{keys}: {type(tap.net).__name__} fails for input {shape}: {first_line(error)}'
        ) from error
