"""Super-resolution networks of spandrel: built for training, and as spandrel infers them."""

from __future__ import annotations

import inspect
import math
import sys
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.functional import pad

from ..errors import OptionError, did_you_mean, first_line
from ..host.api import ARCH_REGISTRY
from ..utils.random_state import unchanged
from ..utils.registry import register

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor  # an extra, which need not be installed

# Architectures of spandrel that enlarge nothing, and two that are no function of an image alone:
# IPT needs a wrapper around its input, AuraSR draws noise.
_NOT_FOR_STUDENTS = (
    *('DRUNet', 'DnCNN', 'FBCNN', 'FFTformer', 'GFPGAN', 'HVICIDNet', 'KBNet', 'LaMa'),
    *('MixDehazeNet', 'NAFNet', 'RestoreFormer', 'RetinexFormer', 'SAFMNBCIE', 'SCUNet'),
    *('Uformer', 'IPT', 'AuraSR'),
)
# Side of the image that a network and what spandrel makes of its weights are compared on.
_SIDE = 16
# Two outputs that differ by less, as a part of their range, are those of one network.
_SAME = 1e-3
_EXTRA = "pip install 'mtkd_basicsr[spandrel]'"


class SpandrelNetwork(nn.Module):
    """A super-resolution network of spandrel, padded to accept more input sizes.

    Its state dict has spandrel's names, those of ``model``.

    Args:
        descriptor: The network with its properties.

    Attributes:
        size_multiple: Number by which the height and width of an input must be divisible.
        arch_name: Spandrel's name of the architecture.
        img_range: Factor by which the network multiplies images, and thus its features.
        requirements: What spandrel requires of a size beyond that; None to pad nothing, for a
            graph whose sizes are unknown.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], h and w multiples of ``size_multiple``. Images that are
          too small, or not square for a network that needs squares, are padded here.
        - Output: (b, 3, scale · h, scale · w), RGB.
    """

    def __init__(self, descriptor: ImageModelDescriptor[Any]) -> None:
        super().__init__()
        self.model = descriptor.model
        self.scale = descriptor.scale
        self.arch_name = f'{descriptor.architecture.name} (spandrel)'
        self.supports_bf16 = descriptor.supports_bfloat16
        self.requirements = descriptor.size_requirements
        self.size_multiple = descriptor.size_requirements.multiple_of
        self.img_range = _image_range(descriptor.model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Upscale images: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        h, w = x.shape[-2:]
        padding = (0, 0) if self.requirements is None else self.requirements.get_padding(w, h)
        if any(padding):
            # Replicated, because reflection cannot add more pixels than the image has.
            x = pad(x, (0, padding[0], 0, padding[1]), mode='replicate')
        else:
            x = x.clone()  # spandrel's RCAN multiplies its input in place
        output = self.model(x)
        if isinstance(output, tuple):  # of MMRealSR: image and degradation
            output = output[0]
        return output[..., : h * self.scale, : w * self.scale]

    def state_dict(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the state dict under spandrel's names, for files that spandrel recognises."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state dict with spandrel's names."""
        return self.model.load_state_dict(*args, **kwargs)


@register(ARCH_REGISTRY)
class Spandrel(SpandrelNetwork):
    """A super-resolution network of spandrel with random weights, to be trained.

    What is trained is what spandrel and programs that use it open: networks whose weights spandrel
    would not recognise, or would take for another network, are refused. The architectures are
    those of the package ``spandrel`` (MIT; their authors' licences are MIT, Apache 2.0 and the
    like); those of ``spandrel_extra_arches``, under other licences, are left out.

    Args:
        arch (str): Spandrel's name of the architecture: ``SPAN``, ``Compact``, ``RealPLKSR``, …
        arguments: The arguments of that architecture, as further keys: ``upscale: 4``.

    Raises:
        OptionError: Spandrel is not installed, it has no such architecture, the architecture has
            no such argument, or spandrel would not recognise the weights.
    """

    def __init__(self, arch: str = '', **arguments: Any) -> None:
        model = _build(arch, arguments)
        descriptor = _recognised(model, arch)
        super().__init__(descriptor)
        self.model = model
        self.arch_name = arch
        self.size_multiple = math.lcm(self.size_multiple, *_window_sizes(model))
        for name, parameter in model.named_parameters():
            if '.eval_conv.' in name:  # SPAN computes it from the others
                parameter.requires_grad_(False)
        self.train()


def architectures() -> dict[str, type[nn.Module]]:
    """Return spandrel's networks for super-resolution: name -> class.

    Raises:
        OptionError: Spandrel is not installed.
    """
    try:
        from spandrel import MAIN_REGISTRY
    except ImportError as error:
        raise OptionError(f'Spandrel needs an extra: {_EXTRA} ({error})') from error
    found: dict[str, type[nn.Module]] = {}
    for support in MAIN_REGISTRY:
        module = sys.modules[type(support.architecture).__module__]
        # Other packages add architectures under other licences.
        is_own = module.__name__.partition('.')[0] == 'spandrel'
        if not is_own or support.architecture.id in _NOT_FOR_STUDENTS:
            continue
        for name in module.__all__:
            network = getattr(module, name)
            if issubclass(network, nn.Module):
                found[name] = network
    return found


def _build(arch: str, arguments: dict[str, Any]) -> nn.Module:
    known = architectures()
    if not arch:
        raise OptionError(f'arch: missing; expected one of {", ".join(sorted(known))}')
    if arch not in known:
        raise OptionError(f'arch: unknown arch {arch!r}; {did_you_mean(arch, sorted(known))}')
    parameters = inspect.signature(known[arch]).parameters
    for name in arguments:
        if name not in parameters:
            raise OptionError(
                f"unknown argument '{name}' of {arch}; {did_you_mean(name, parameters)}"
            )
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise OptionError(f'{name}: missing; {arch} needs it')
    return known[arch](**arguments)


def _window_sizes(model: nn.Module) -> list[int]:
    """Return the sizes of the windows of attention, to which some networks pad by themselves."""
    sizes = [getattr(module, 'window_size', None) for module in model.modules()]
    return [size for size in sizes if isinstance(size, int)]


def _image_range(model: nn.Module) -> float:
    """Return the factor by which a network multiplies images."""
    for name in ('img_range', 'rgb_range'):
        value = getattr(model, name, None)
        if isinstance(value, (int, float)):
            return float(value)
    return 1.0


def _recognised(model: nn.Module, arch: str) -> ImageModelDescriptor[Any]:
    """Return what spandrel makes of the weights of a network.

    Raises:
        OptionError: It is no network for super-resolution of RGB images, or another one.
    """
    from spandrel import MAIN_REGISTRY

    state = {name: value.clone() for name, value in model.state_dict().items()}
    with unchanged():  # spandrel builds the network anew
        try:
            descriptor = MAIN_REGISTRY.load(state)
        except Exception as error:  # its loaders raise many types
            raise OptionError(
                f'spandrel does not recognise the weights of {arch} with these arguments '
                f'({type(error).__name__}: {first_line(error)})'
            ) from error
    channels = (descriptor.input_channels, descriptor.output_channels)
    if descriptor.purpose != 'SR' or channels != (3, 3):
        raise OptionError(
            f'spandrel takes {arch} with these arguments for {descriptor.architecture.name}, '
            f'{descriptor.purpose} at ×{descriptor.scale}, {channels[0]} to {channels[1]} '
            'channels; expected super-resolution (SR) of RGB images, 3 to 3'
        )
    recognised = cast('ImageModelDescriptor[Any]', descriptor)
    _check_same(model, recognised, arch)
    return recognised


def _check_same(model: nn.Module, descriptor: ImageModelDescriptor[Any], arch: str) -> None:
    """Raise if spandrel would compute another function with the same weights."""
    net = SpandrelNetwork(descriptor).eval()
    multiple = math.lcm(net.size_multiple, *_window_sizes(model))
    side = -(-_SIDE // multiple) * multiple
    x = torch.linspace(0, 1, 3 * side * side).view(1, 3, side, side)
    with torch.no_grad():
        theirs = net(x)
        net.model = model.eval()
        ours = net(x)
    if (ours - theirs).abs().max() <= _SAME * max(1.0, ours.abs().max().item()):
        return
    given = getattr(model, 'hyperparameters', {})
    taken = getattr(descriptor.model, 'hyperparameters', {})
    differences = []
    for name, value in given.items():
        if name in taken and str(value) != str(taken[name]):
            differences.append(f'{name}: {value} here, {taken[name]} there')
    raise OptionError(
        f'spandrel would take the weights for another {arch}, because they do not show all '
        f'arguments; {"; ".join(differences)}'
    )
