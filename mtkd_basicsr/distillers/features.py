"""Features of any network by dotted module paths, read with hooks or put into a module's input."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import torch
from torch import nn

from ..errors import OptionError, did_you_mean
from ..functional.padding import pad_to_multiple
from ..weights.networks import size_multiple

# What the reconstruction part of a network starts with: its input is the end of the body plus the
# head's skip.
_TAILS = ('conv_before_upsample', 'upsample')
# What is left out when that input is given: big, and without it nothing else changes its shape.
_BODIES = {'EDSR': 'body', 'RCAN': 'body', 'SwinIR': 'layers'}


def body_end(net: nn.Module) -> str:
    """Return the position of the end of the body, before the upsampler.

    The head's skip is part of it: ``'upsample:input'`` for EDSR.

    Raises:
        OptionError: not EDSR, RCAN or SwinIR, whose parts have these names.
    """
    for name in _TAILS:
        if type(net).__name__ in _BODIES and hasattr(net, name):
            return f'{name}:input'
    raise OptionError(
        f'features: no default positions for {type(net).__name__}; name them in train.kd '
        f'(known archs: {", ".join(_BODIES)})'
    )


def default_positions(net: nn.Module) -> tuple[str, ...]:
    """Return the three positions of FAKD.

    They are the end of the body, and before it: for EDSR after a third and two thirds of the
    blocks, for RCAN after a fifth and three fifths of the groups (2 and 6 of 10), for SwinIR after
    a third and two thirds of the layers.

    Args:
        net: EDSR, RCAN or SwinIR of BasicSR.

    Returns:
        For example ``('body.4', 'body.9', 'upsample:input')`` for EDSR of 16 blocks.

    Raises:
        OptionError: another arch.
    """
    end = body_end(net)
    body = _BODIES[type(net).__name__]
    n = len(getattr(net, body))
    parts = (n // 5, 3 * n // 5) if type(net).__name__ == 'RCAN' else (n // 3, 2 * n // 3)
    return (*(f'{body}.{max(part, 1) - 1}' for part in parts), end)


def _module(net: nn.Module, position: str, key: str) -> tuple[nn.Module, bool]:
    path, _, side = position.partition(':')
    modules = dict(net.named_modules())
    if path not in modules or not path:
        near = [name for name in modules if name.count('.') <= path.count('.') and name]
        raise OptionError(
            f"{key}: {type(net).__name__} has no module '{path}'; {did_you_mean(path, near[:40])}"
        )
    if side not in ('', 'input', 'output'):
        raise OptionError(f"{key}: '{position}'; expected PATH, PATH:input or PATH:output")
    return modules[path], side == 'input'


def image_range(net: nn.Module) -> float:
    """Return what a network multiplies images by, which its features are proportional to.

    It is 255 for EDSR and RCAN, 1 for SwinIR.
    """
    return float(getattr(net, 'img_range', 1.0))


class _Done(Exception):  # noqa: N818  (it ends a run, and is no error)
    pass


class FeatureTap:
    """Reads features of a network while it runs.

    Features are divided by :func:`image_range`, so that those of two archs are of like size; tokens
    of transformers become maps again, and what was padded is cut off. What a network changes in
    place after a module has given it (EDSR adds the head's skip to the output of
    ``conv_after_body``) is read as changed.

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
            positions: Dotted paths of modules, whose output is read; with ``:input`` their first
                input.
            key: Where the positions stand in the option file, for messages.

        Raises:
            OptionError: no such module.
        """
        for position in positions:
            module, is_input = _module(self.net, position, key)
            if position in self.positions:
                continue
            self.positions.append(position)
            if is_input:
                module.register_forward_pre_hook(lambda m, args, p=position: self._take(p, args[0]))
            else:
                module.register_forward_hook(
                    lambda m, args, output, p=position: self._take(p, output)
                )

    @property
    def recorded(self) -> tuple[str, ...]:
        """Positions whose features are held: of the run that is being read, and of no other."""
        return tuple(self._raw)

    def _take(self, position: str, value: torch.Tensor) -> None:
        if self._open:
            self._raw[position] = value
            if self._stop_after is not None and len(self._raw) == self._stop_after:
                raise _Done

    @contextmanager
    def reading(self, size: Sequence[int]) -> Iterator[dict[str, torch.Tensor]]:
        """Open the tap for a block, at whose end the mapping is filled by the network's last run.

        Args:
            size: Height and width of the low-resolution images.

        Yields:
            Empty; after the block by position: (b, c, h, w), float32.
        """
        features: dict[str, torch.Tensor] = {}
        self._raw = {}
        self._open = True
        try:
            yield features
        finally:
            self._open = False
        features.update({p: self._as_map(p, self._raw[p], size) for p in self.positions})
        self._raw = {}

    def features(self, lq: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute features of images, running the network only as far as the last position.

        Args:
            lq: (b, 3, h, w); padded here as the network needs it.

        Returns:
            By position: (b, c, h, w), float32.
        """
        with self.reading(lq.shape[-2:]) as features:
            self._stop_after = len(self.positions)
            try:
                with suppress(_Done):
                    self.net(pad_to_multiple(lq, size_multiple(self.net)))
            finally:
                self._stop_after = None
        return features

    def _as_map(self, position: str, value: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        h, w = size
        multiple = size_multiple(self.net)
        padded = tuple(-(-n // multiple) * multiple for n in size)
        if value.ndim == 3 and value.shape[1] == padded[0] * padded[1]:  # tokens: (b, h' · w', c)
            value = value.transpose(1, 2).unflatten(2, padded)
        if value.ndim != 4 or value.shape[-2:] != padded:
            raise OptionError(
                f"features: '{position}' of {type(self.net).__name__} has the shape "
                f'{tuple(value.shape)}; '
                f'expected (b, c, {padded[0]}, {padded[1]}), or tokens of it'
            )
        return value[..., :h, :w].float() / self._range


def widths(tap: FeatureTap, device: str | torch.device) -> dict[str, int]:
    """Return the number of channels at each position of a tap.

    Args:
        tap: Of a network in any mode, which it has again afterwards.
        device: Where the network is.

    Returns:
        By position.
    """
    size = size_multiple(tap.net) * 8
    training = tap.net.training
    tap.net.eval()
    with torch.no_grad():
        features = tap.features(torch.zeros(1, 3, size, size, device=device))
    tap.net.train(training)
    return {position: feature.shape[1] for position, feature in features.items()}


class _Bypass(nn.Module):
    """Gives its first input back."""

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        return x


def _shallow(module: nn.Module) -> nn.Module:
    """Copy a module without its hooks; parameters, buffers and children are shared."""
    twin = copy.copy(module)
    for name in ('_modules', '_parameters', '_buffers'):
        setattr(twin, name, dict(getattr(module, name)))
    twin._forward_hooks = type(module._forward_hooks)()
    twin._forward_pre_hooks = type(module._forward_pre_hooks)()
    return twin


class Splice:
    """A network from one position on, run with the input of a module replaced by a feature.

    Before the upsampler of EDSR, RCAN and SwinIR, and anywhere in a chain of modules (``body.7``),
    what only feeds the replaced input is left out of the run. Elsewhere all of it runs, which costs
    time and changes nothing.

    Args:
        net: A frozen network, which is left as it is.
        position: Dotted path of a module, with ``:input`` or without.
        key: Where it stands in the option file, for messages.

    Raises:
        OptionError: no such module, or one whose output is named.
    """

    def __init__(self, net: nn.Module, position: str, key: str = 'cut') -> None:
        path, _, side = position.partition(':')
        _module(net, position, key)
        self._key = key
        if side == 'output':
            raise OptionError(
                f"{key}: '{position}'; expected PATH or PATH:input: the feature replaces what a "
                'module gets'
            )
        self._feature: torch.Tensor | None = None
        self._range = image_range(net)
        self._multiple = size_multiple(net)
        self.net = _shallow(net)
        if f'{path}:input' == (body_end(net) if type(net).__name__ in _BODIES else None):
            self._leave_out(self.net, _BODIES[type(net).__name__])
        names = path.split('.')
        chain = [self.net]
        for name in names[:-1]:
            twin = _shallow(cast(nn.Module, chain[-1]._modules[name]))
            chain[-1]._modules[name] = twin
            chain.append(twin)
        # From the inside out as long as there is nothing but a chain: a block with a skip needs
        # what came before it.
        for parent, name in zip(reversed(chain), reversed(names), strict=True):
            if not isinstance(parent, (nn.Sequential, nn.ModuleList)):
                break
            for earlier in list(parent._modules)[: list(parent._modules).index(name)]:
                parent._modules[earlier] = _Bypass()
        parent = chain[-1]
        last = names[-1]
        self._replaced = _shallow(cast(nn.Module, parent._modules[last]))
        parent._modules[last] = self._replaced
        self._replaced.register_forward_pre_hook(self._replace)

    def width(self, device: str | torch.device) -> int:
        """Return the number of channels that the feature has to have."""
        size = 8 * self._multiple
        seen: list[torch.Tensor] = []
        handle = self._replaced.register_forward_pre_hook(
            lambda module, args: seen.append(args[0]), prepend=True
        )
        with torch.no_grad():
            self.net(torch.zeros(1, 3, size, size, device=device))
        handle.remove()
        return seen[0].shape[1 if seen[0].ndim == 4 else 2]

    @staticmethod
    def _leave_out(net: nn.Module, name: str) -> None:
        body = net._modules[name]
        net._modules[name] = (
            nn.ModuleList([_Bypass()]) if isinstance(body, nn.ModuleList) else _Bypass()
        )

    def _replace(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        feature = self._feature
        if feature is None:
            return None
        if args[0].ndim == 3:
            feature = feature.flatten(2).transpose(1, 2)
        if feature.shape[1:] != args[0].shape[1:]:
            raise OptionError(
                f'{self._key}: the feature of the student is {tuple(feature.shape[1:])}, the '
                'teacher has '
                f'{tuple(args[0].shape[1:])} there'
            )
        return (feature.to(args[0].dtype), *args[1:])

    def __call__(self, lq: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Run the network.

        Args:
            lq: (b, 3, h, w), for what does not come from the feature.
            feature: (b, c, h, w), divided by :func:`image_range` as :class:`FeatureTap` gives it.

        Returns:
            The output of the network, cut to the size that belongs to ``lq``. Where the network
            needs ``lq`` padded, the feature is padded by reflection too, which is not what the
            network would make of the padded image.
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
