"""Features of any network by dotted module paths: read with hooks, or put in the place of what a
module gets.
"""

import copy
from contextlib import contextmanager

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


def body_end(net):
    """Position of the end of the body with the head's skip, before the upsampler:
    ``'upsample:input'`` for EDSR.

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


def default_positions(net):
    """Three positions, those of FAKD: EDSR after a third and two thirds of the blocks, RCAN after a
    fifth and three fifths of the groups (2 and 6 of 10), SwinIR after a third and two thirds of the
    layers; and the end of the body.

    Args:
        net (nn.Module): EDSR, RCAN or SwinIR of BasicSR.

    Returns:
        tuple[str]: For example ``('body.4', 'body.9', 'upsample:input')`` for EDSR of 16 blocks.

    Raises:
        OptionError: another arch.
    """
    end = body_end(net)
    body = _BODIES[type(net).__name__]
    n = len(getattr(net, body))
    parts = (n // 5, 3 * n // 5) if type(net).__name__ == 'RCAN' else (n // 3, 2 * n // 3)
    return (*(f'{body}.{max(part, 1) - 1}' for part in parts), end)


def _module(net, position, key):
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


def image_range(net):
    """What a network multiplies images by (255 for EDSR and RCAN, 1 for SwinIR); its features are
    proportional to it.
    """
    return float(getattr(net, 'img_range', 1.0))


class _Done(Exception):
    pass


class FeatureTap:
    """Reads features of a network while it runs.

    Features are divided by :func:`image_range`, so that those of two archs are of like size; tokens
    of transformers become maps again, and what was padded is cut off. What a network changes in
    place after a module has given it (EDSR adds the head's skip to the output of
    ``conv_after_body``) is read as changed.

    Args:
        net (nn.Module): Any network.
    """

    def __init__(self, net):
        self.net = net
        self.positions = []
        self._open = False
        self._stop_after = None
        self._raw = {}
        self._range = image_range(net)

    def add(self, positions, key='features'):
        """Registers hooks, which do nothing while the tap is closed.

        Args:
            positions (iterable[str]): Dotted paths of modules, whose output is read; with
                ``:input`` their first input.
            key (str): Where the positions stand in the option file, for messages.

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

    def _take(self, position, value):
        if self._open:
            self._raw[position] = value
            if self._stop_after is not None and len(self._raw) == self._stop_after:
                raise _Done

    @contextmanager
    def reading(self, size):
        """While it is open, runs of the network fill the mapping that it gives.

        Args:
            size (tuple[int, int]): Height and width of the low-resolution images.

        Yields:
            dict[str, Tensor]: Empty; after the block by position: (b, c, h, w), float32, of the
            last run.
        """
        features = {}
        self._raw = {}
        self._open = True
        try:
            yield features
        finally:
            self._open = False
        features.update({p: self._as_map(p, self._raw[p], size) for p in self.positions})
        self._raw = {}

    def features(self, lq):
        """Features of images; the network runs as far as the last position, and no further.

        Args:
            lq (Tensor): (b, 3, h, w); padded here as the network needs it.

        Returns:
            dict[str, Tensor]: By position: (b, c, h, w), float32.
        """
        with self.reading(lq.shape[-2:]) as features:
            self._stop_after = len(self.positions)
            try:
                self.net(pad_to_multiple(lq, size_multiple(self.net)))
            except _Done:
                pass
            finally:
                self._stop_after = None
        return features

    def _as_map(self, position, value, size):
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


def widths(tap, device):
    """Number of channels at each position of a tap.

    Args:
        tap (FeatureTap): Of a network in any mode, which it has again afterwards.
        device: Where the network is.

    Returns:
        dict[str, int]: By position.
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

    def forward(self, x, *_):
        return x


def _shallow(module):
    """A copy that shares parameters, buffers and children with the original, and has no hooks."""
    twin = copy.copy(module)
    for name in ('_modules', '_parameters', '_buffers'):
        setattr(twin, name, dict(getattr(module, name)))
    twin._forward_hooks = type(module._forward_hooks)()
    twin._forward_pre_hooks = type(module._forward_pre_hooks)()
    return twin


class Splice:
    """A network from one position on: runs it with the input of a module replaced by a given
    feature.

    Before the upsampler of EDSR, RCAN and SwinIR, and anywhere in a chain of modules (``body.7``),
    what only feeds the replaced input is left out of the run. Elsewhere all of it runs, which costs
    time and changes nothing.

    Args:
        net (nn.Module): A frozen network, which is left as it is.
        position (str): Dotted path of a module, with ``:input`` or without.
        key (str): Where it stands in the option file, for messages.

    Raises:
        OptionError: no such module, or one whose output is named.
    """

    def __init__(self, net, position, key='cut'):
        path, _, side = position.partition(':')
        _module(net, position, key)
        self._key = key
        if side == 'output':
            raise OptionError(
                f"{key}: '{position}'; expected PATH or PATH:input: the feature replaces what a "
                'module gets'
            )
        self._feature = None
        self._range = image_range(net)
        self._multiple = size_multiple(net)
        self.net = _shallow(net)
        if f'{path}:input' == (body_end(net) if type(net).__name__ in _BODIES else None):
            self._leave_out(self.net, _BODIES[type(net).__name__])
        names = path.split('.')
        chain = [self.net]
        for name in names[:-1]:
            chain[-1]._modules[name] = _shallow(chain[-1]._modules[name])
            chain.append(chain[-1]._modules[name])
        # From the inside out as long as there is nothing but a chain: a block with a skip needs
        # what came before it.
        for parent, name in zip(reversed(chain), reversed(names)):
            if not isinstance(parent, (nn.Sequential, nn.ModuleList)):
                break
            for earlier in list(parent._modules)[: list(parent._modules).index(name)]:
                parent._modules[earlier] = _Bypass()
        parent = chain[-1]
        last = names[-1]
        parent._modules[last] = _shallow(parent._modules[last])
        self._replaced = parent._modules[last]
        self._replaced.register_forward_pre_hook(self._replace)

    def width(self, device):
        """Number of channels that the feature has to have."""
        size = 8 * self._multiple
        seen = []
        handle = self._replaced.register_forward_pre_hook(
            lambda module, args: seen.append(args[0]), prepend=True
        )
        with torch.no_grad():
            self.net(torch.zeros(1, 3, size, size, device=device))
        handle.remove()
        return seen[0].shape[1 if seen[0].ndim == 4 else 2]

    @staticmethod
    def _leave_out(net, name):
        body = net._modules[name]
        net._modules[name] = (
            nn.ModuleList([_Bypass()]) if isinstance(body, nn.ModuleList) else _Bypass()
        )

    def _replace(self, module, args):
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

    def __call__(self, lq, feature):
        """Runs the network.

        Args:
            lq (Tensor): (b, 3, h, w), for what does not come from the feature.
            feature (Tensor): (b, c, h, w), divided by :func:`image_range` as
                :class:`FeatureTap` gives it.

        Returns:
            Tensor: The output of the network, cut to the size that belongs to ``lq``. Where the
                network needs ``lq`` padded,
            the feature is padded by reflection too, which is not what the network would make of the
            padded image.
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
