"""Features of any network by dotted module paths: read with hooks, or inserted as inputs."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import torch
from torch import nn

from ..errors import OptionError, did_you_mean
from ..functional.padding import pad_to_multiple
from ..weights.networks import size_multiple

# First module of the reconstruction part of a network. Its input is the end of the body, including
# the skip connection from the head.
_UPSAMPLERS = ('conv_before_upsample', 'upsample')
# The body, which need not run if a feature replaces that input.
_BODIES = {'EDSR': 'body', 'RCAN': 'body', 'SwinIR': 'layers'}
# Number of modules that a message lists.
_MAX_LISTED = 40


def body_end(net: nn.Module) -> str:
    """Return the position of the end of the body, before the upsampler.

    It includes the skip connection from the head: ``'upsample:input'`` for EDSR.

    Raises:
        OptionError: The network is not EDSR, RCAN or SwinIR.
    """
    for name in _UPSAMPLERS:
        if type(net).__name__ in _BODIES and hasattr(net, name):
            return f'{name}:input'
    raise OptionError(
        f'features: no default positions for {type(net).__name__}; set them in train.kd '
        f'(architectures with defaults: {", ".join(_BODIES)})'
    )


def default_positions(net: nn.Module) -> tuple[str, ...]:
    """Return the three positions of FAKD.

    The last one is the end of the body. The others are, for EDSR, after one and two thirds of the
    blocks; for RCAN, after one and three fifths of the groups (2 and 6 of 10); for SwinIR, after
    one and two thirds of the layers.

    Args:
        net: BasicSR's EDSR, RCAN or SwinIR.

    Returns:
        For example ``('body.4', 'body.9', 'upsample:input')`` for EDSR of 16 blocks.

    Raises:
        OptionError: The network has another architecture.
    """
    end = body_end(net)
    body = _BODIES[type(net).__name__]
    n = len(getattr(net, body))
    if type(net).__name__ == 'RCAN':
        first = n // 5
        second = 3 * n // 5
    else:
        first = n // 3
        second = 2 * n // 3
    return f'{body}.{max(first, 1) - 1}', f'{body}.{max(second, 1) - 1}', end


def _find_module(net: nn.Module, position: str, key: str) -> tuple[nn.Module, bool]:
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
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.positions: list[str] = []
        self._open = False
        self._stop_after: int | None = None
        self._raw: dict[str, torch.Tensor] = {}
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
            module, is_input = _find_module(self.net, position, key)
            if position in self.positions:
                continue
            self.positions.append(position)
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

    def _record(self, position: str, value: torch.Tensor) -> None:
        if self._open:
            self._raw[position] = value
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

        Args:
            lq: (b, 3, h, w); padded as the network needs it.

        Returns:
            Features by position, (b, c, h, w), float32.
        """
        with self.reading(lq.shape[-2:]) as features:
            self._stop_after = len(self.positions)
            try:
                with suppress(_AllRecorded):
                    self.net(pad_to_multiple(lq, size_multiple(self.net)))
            finally:
                self._stop_after = None
        return features

    def _as_map(self, position: str, value: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Turn a recorded value into a map of the size of the images."""
        h, w = size
        multiple = size_multiple(self.net)
        padded = tuple(-(-n // multiple) * multiple for n in size)
        if value.ndim == 3 and value.shape[1] == padded[0] * padded[1]:  # tokens: (b, h' · w', c)
            value = value.transpose(1, 2).unflatten(2, padded)
        if value.ndim != 4 or value.shape[-2:] != padded:
            raise OptionError(
                f"features: '{position}' of {type(self.net).__name__} has the shape "
                f'{tuple(value.shape)}; expected (b, c, {padded[0]}, {padded[1]}), or the '
                'corresponding tokens'
            )
        return value[..., :h, :w].float() / self._range


def widths(tap: FeatureTap, device: str | torch.device) -> dict[str, int]:
    """Return the number of channels at each position of a tap.

    Args:
        tap: Tap of a network, whose training mode is restored afterwards.
        device: Device of the network.

    Returns:
        Number of channels by position.
    """
    size = size_multiple(tap.net) * 8
    training = tap.net.training
    tap.net.eval()
    with torch.no_grad():
        features = tap.features(torch.zeros(1, 3, size, size, device=device))
    tap.net.train(training)
    return {position: feature.shape[1] for position, feature in features.items()}


class _PassThrough(nn.Module):
    """Returns its first input."""

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        return x


def _copy_without_hooks(module: nn.Module) -> nn.Module:
    """Copy a module without its hooks; share parameters, buffers and children."""
    copied = copy.copy(module)
    for name in ('_modules', '_parameters', '_buffers'):
        setattr(copied, name, dict(getattr(module, name)))
    copied._forward_hooks = type(module._forward_hooks)()
    copied._forward_pre_hooks = type(module._forward_pre_hooks)()
    return copied


class Splice:
    """A network in which a feature replaces the input of one module.

    Before the upsampler of EDSR, RCAN and SwinIR, and anywhere in a chain of modules (``body.7``),
    modules that only compute the replaced input do not run. Elsewhere the whole network runs, which
    costs time but gives the same result.

    Args:
        net: A frozen network; not modified.
        position: Dotted path of a module, with or without ``:input``.
        key: Option key of the position, for messages.

    Raises:
        OptionError: There is no such module, or the position is an output.
    """

    def __init__(self, net: nn.Module, position: str, key: str = 'cut') -> None:
        path, _, side = position.partition(':')
        _find_module(net, position, key)
        self._key = key
        if side == 'output':
            raise OptionError(
                f"{key}: '{position}'; expected PATH or PATH:input, because the feature replaces "
                'the input of a module'
            )
        self._feature: torch.Tensor | None = None
        self._range = image_range(net)
        self._multiple = size_multiple(net)
        self.net = _copy_without_hooks(net)
        arch = type(net).__name__
        if arch in _BODIES and f'{path}:input' == body_end(net):
            self._bypass_body(self.net, _BODIES[arch])
        *parents, last = path.split('.')
        # The modules that contain the replaced one, outermost first, copied to be modified.
        chain = [self.net]
        for name in parents:
            copied = _copy_without_hooks(cast(nn.Module, chain[-1]._modules[name]))
            chain[-1]._modules[name] = copied
            chain.append(copied)
        self._bypass_earlier(chain, [*parents, last])
        parent = chain[-1]
        self._replaced = _copy_without_hooks(cast(nn.Module, parent._modules[last]))
        parent._modules[last] = self._replaced
        self._replaced.register_forward_pre_hook(self._replace)

    @staticmethod
    def _bypass_earlier(chain: list[nn.Module], names: list[str]) -> None:
        """Bypass the modules before the replaced one, as long as they form a plain chain.

        Args:
            chain: The modules that contain the replaced one, outermost first.
            names: Name of the next module in each of them.
        """
        for parent, name in zip(reversed(chain), reversed(names), strict=True):
            # A block with a skip connection needs the result of the modules before it.
            if not isinstance(parent, (nn.Sequential, nn.ModuleList)):
                return
            for earlier in list(parent._modules):
                if earlier == name:
                    break
                parent._modules[earlier] = _PassThrough()

    def width(self, device: str | torch.device) -> int:
        """Return the required number of channels of the feature."""
        size = 8 * self._multiple
        inputs: list[torch.Tensor] = []
        handle = self._replaced.register_forward_pre_hook(
            lambda module, args: inputs.append(args[0]), prepend=True
        )
        with torch.no_grad():
            self.net(torch.zeros(1, 3, size, size, device=device))
        handle.remove()
        is_map = inputs[0].ndim == 4  # otherwise tokens: (b, h · w, c)
        return inputs[0].shape[1 if is_map else 2]

    @staticmethod
    def _bypass_body(net: nn.Module, name: str) -> None:
        bypass: nn.Module = _PassThrough()
        if isinstance(net._modules[name], nn.ModuleList):
            bypass = nn.ModuleList([bypass])
        net._modules[name] = bypass

    def _replace(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Replace the first input of the module by the feature, if one is set."""
        feature = self._feature
        if feature is None:
            return None
        if args[0].ndim == 3:
            feature = feature.flatten(2).transpose(1, 2)
        if feature.shape[1:] != args[0].shape[1:]:
            raise OptionError(
                f'{self._key}: the feature of the student is {tuple(feature.shape[1:])}; expected '
                f'{tuple(args[0].shape[1:])}, as the teacher has at this position'
            )
        return (feature.to(args[0].dtype), *args[1:])

    def __call__(self, lq: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Run the network.

        Args:
            lq: (b, 3, h, w), for the parts of the network that do not depend on the feature.
            feature: (b, c, h, w), divided by :func:`image_range` as by :class:`FeatureTap`.

        Returns:
            The output of the network, cropped to the size that corresponds to ``lq``. If the
            network needs padding, the feature is padded by reflection as ``lq`` is; this differs
            from the feature of the padded image.
        """
        h, w = lq.shape[-2:]
        padded = pad_to_multiple(lq, self._multiple)
        self._feature = pad_to_multiple(feature, self._multiple) * self._range
        try:
            output = self.net(padded)
        finally:
            self._feature = None
        scale = output.shape[-1] // padded.shape[-1]
        return output[..., : h * scale, : w * scale]
