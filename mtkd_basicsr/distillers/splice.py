"""Networks in which a feature replaces the input of a module."""

import copy
from typing import Any, cast

import torch
from torch import nn

from ..errors import OptionError
from ..functional.padding import pad_to_multiple
from ..weights.networks import arch_name, size_multiple
from .features import find_module, image_range
from .positions import BODIES, known_body_end


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


def _input_shapes(net: nn.Module, size: int) -> dict[str, torch.Size]:
    """Run a network on a square image, and return the shape of each module's first input."""
    shapes: dict[str, torch.Size] = {}

    def record(name: str, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], torch.Tensor):
            shapes[name] = args[0].shape

    handles = []
    for name, module in net.named_modules():
        handles.append(
            module.register_forward_pre_hook(lambda m, args, name=name: record(name, args))
        )
    device = next((p.device for p in net.parameters()), torch.device('cpu'))
    with torch.no_grad():
        net(torch.zeros(1, 3, size, size, device=device))
    for handle in handles:
        handle.remove()
    return shapes


class Splice:
    """A network in which a feature replaces the input of one module.

    Before the upsampler of EDSR, RCAN and SwinIR, and anywhere in a chain of modules (``body.7``),
    modules that only compute the replaced input do not run. Elsewhere the whole network runs, which
    costs time but gives the same result.

    Args:
        net: A frozen network; not modified.
        position: Dotted path of a module, with or without ``:input``.
        key: Option key of the position, for messages.

    Attributes:
        width: Required number of channels of the feature.

    Raises:
        OptionError: There is no such module, it gets no tensor, or the position is an output.
    """

    def __init__(self, net: nn.Module, position: str, key: str = 'cut') -> None:
        path, _, side = position.partition(':')
        find_module(net, position, key)
        self._key = key
        if side == 'output':
            raise OptionError(
                f"{key}: '{position}'; expected PATH or PATH:input, because the feature replaces "
                'the input of a module'
            )
        self._feature: torch.Tensor | None = None
        self._range = image_range(net)
        self._multiple = size_multiple(net)
        shapes = _input_shapes(net, 8 * self._multiple)
        if path not in shapes:
            raise OptionError(
                f"{key}: '{position}' gets no tensor in {arch_name(net)}; expected a module that "
                'gets a feature as its first input'
            )
        is_map = len(shapes[path]) == 4  # otherwise tokens: (b, h · w, c)
        self.width = shapes[path][1 if is_map else 2]
        self.net = _copy_without_hooks(net)
        arch = type(net).__name__
        if arch in BODIES and f'{path}:input' == known_body_end(net):
            self._bypass_body(self.net, BODIES[arch])
        *parents, last = path.split('.')
        # The modules that contain the replaced one, outermost first, copied to be modified.
        chain = [self.net]
        for name in parents:
            copied = _copy_without_hooks(cast(nn.Module, chain[-1]._modules[name]))
            chain[-1]._modules[name] = copied
            chain.append(copied)
        self._bypass_earlier(chain, [*parents, last], shapes)
        parent = chain[-1]
        self._replaced = _copy_without_hooks(cast(nn.Module, parent._modules[last]))
        parent._modules[last] = self._replaced
        self._replaced.register_forward_pre_hook(self._replace)

    @staticmethod
    def _bypass_earlier(
        chain: list[nn.Module], names: list[str], shapes: dict[str, torch.Size]
    ) -> None:
        """Bypass the modules before the replaced one, as long as they form a plain chain.

        Args:
            chain: The modules that contain the replaced one, outermost first.
            names: Name of the next module in each of them.
            shapes: Shape of the input of each module, by its path.
        """
        needed = shapes['.'.join(names)]
        for depth in reversed(range(len(chain))):
            parent = chain[depth]
            # A block with a skip connection needs the result of the modules before it.
            if not isinstance(parent, (nn.Sequential, nn.ModuleList)):
                return
            # Those that come first may change the number of channels.
            fits = False
            for earlier in list(parent._modules):
                if earlier == names[depth]:
                    break
                fits = fits or shapes.get('.'.join([*names[:depth], earlier])) == needed
                if fits:
                    parent._modules[earlier] = _PassThrough()

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
