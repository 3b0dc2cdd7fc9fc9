"""Default positions of features: those of FAKD for three networks, found in others."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..errors import OptionError, first_line
from ..utils.texts import begun
from ..weights.networks import arch_name, size_multiple
from .features import first_tensor

# First module of the reconstruction part of a network. Its input is the end of the body, including
# the skip connection from the head.
_UPSAMPLERS = ('conv_before_upsample', 'upsample')
# The body, which need not run if a feature replaces that input.
BODIES = {'EDSR': 'body', 'RCAN': 'body', 'SwinIR': 'layers'}
# Number of modules that a message lists.
_MAX_LISTED = 24
# Side of the image that a network is tried with, in pixels; rounded up to the network's multiple.
_SIDE = 16


def known_body_end(net: nn.Module) -> str | None:
    """Return the position of the end of the body of EDSR, RCAN or SwinIR; None for others.

    It includes the skip connection from the head: ``'upsample:input'`` for EDSR.
    """
    for name in _UPSAMPLERS:
        if type(net).__name__ in BODIES and hasattr(net, name):
            return f'{name}:input'
    return None


def is_known(net: nn.Module) -> bool:
    """Return whether the default positions of a network are fixed, not found by running it."""
    return known_body_end(net) is not None


def body_end(net: nn.Module) -> str:
    """Return the position of the end of the body, before the upsampler.

    Args:
        net: EDSR, RCAN or SwinIR, or a network whose body of equal blocks is evident.

    Returns:
        For example ``'upsample:input'``; in a network whose body was found, the last block.

    Raises:
        OptionError: There is no such body. The message lists modules that could be chosen.
    """
    return known_body_end(net) or _found_blocks(net)[-1]


def default_cut(net: nn.Module) -> str:
    """Return the module that gets the end of the body as its input.

    Args:
        net: EDSR, RCAN or SwinIR, or a network whose body of equal blocks is evident.

    Returns:
        For example ``'upsample:input'``; in a network whose body was found, the module that the
        output of the last block is handed to.

    Raises:
        OptionError: There is no such module. The message lists modules that could be chosen.
    """
    known = known_body_end(net)
    if known is not None:
        return known
    end = _found_blocks(net)[-1]
    outputs: list[Any] = []
    receivers: list[str] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        outputs.append(first_tensor(output))

    def compare(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            if args and outputs and args[0] is outputs[0]:
                receivers.append(name)

        return hook

    handles = [net.get_submodule(end).register_forward_hook(keep)]
    for name, module in net.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(compare(name)))
    _run_once(net, _trial_size(net), handles)
    if not receivers:
        raise OptionError(
            f'no default for {arch_name(net)}: no module gets the output of {end} alone; set it to '
            f'a module that gets the feature as its input, one of {listed_features(net)}, or of '
            'those that follow them'
        )
    return receivers[0]


def default_positions(net: nn.Module) -> tuple[str, ...]:
    """Return the three positions of FAKD.

    The last one is the end of the body. The others are, for EDSR, after one and two thirds of the
    blocks; for RCAN, after one and three fifths of the groups (2 and 6 of 10); for SwinIR, after
    one and two thirds of the layers; for other networks, after one and two thirds of the blocks of
    their body, if it is evident.

    Args:
        net: Any network.

    Returns:
        For example ``('body.4', 'body.9', 'upsample:input')`` for EDSR of 16 blocks.

    Raises:
        OptionError: The body is not evident. The message lists modules that could be chosen.
    """
    end = known_body_end(net)
    if end is None:
        blocks = _found_blocks(net)
        end = blocks[-1]
    else:
        body = BODIES[type(net).__name__]
        blocks = [f'{body}.{i}' for i in range(len(getattr(net, body)))]
    n = len(blocks)
    if type(net).__name__ == 'RCAN':
        first = n // 5
        second = 3 * n // 5
    else:
        first = n // 3
        second = 2 * n // 3
    return blocks[max(first, 1) - 1], blocks[max(second, 1) - 1], end


class _Output(NamedTuple):
    """The output of a module for one image.

    Attributes:
        channels: Number of channels, if it is a map of the size of the image, or its tokens.
        order: Place of the module among all that ended.
    """

    channels: int
    order: int


def _trial_size(net: nn.Module) -> tuple[int, int]:
    """Return the height and width of the image that a network is tried with."""
    multiple = size_multiple(net)
    h = -(-_SIDE // multiple) * multiple
    return h, h + multiple  # not square, so that no other map is taken for one of this size


def _run_once(net: nn.Module, size: tuple[int, int], handles: Sequence[RemovableHandle]) -> None:
    """Run a network on an image of a size, and remove its hooks afterwards.

    Raises:
        OptionError: The network fails.
    """
    shape = (1, 3, *size)
    device = next((p.device for p in net.parameters()), torch.device('cpu'))
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(shape, device=device))
    except RuntimeError as error:
        raise OptionError(
            f'{arch_name(net)} fails for input {shape}: {first_line(error)}'
        ) from error
    finally:
        net.train(training)
        for handle in handles:
            handle.remove()


def _outputs(net: nn.Module) -> dict[str, _Output]:
    """Run a network once, and return the modules whose outputs have the size of the input.

    Raises:
        OptionError: The network fails.
    """
    h, w = _trial_size(net)
    found: dict[str, _Output] = {}
    calls: Counter[str] = Counter()

    def record(name: str, output: object) -> None:
        calls[name] += 1
        channels = _channels(output, h, w)
        if channels is not None:
            found[name] = _Output(channels, sum(calls.values()))

    handles = [
        module.register_forward_hook(lambda m, args, output, n=name: record(n, output))
        for name, module in net.named_modules()
        if name
    ]
    _run_once(net, (h, w), handles)
    return {name: output for name, output in found.items() if calls[name] == 1}


def _channels(output: object, h: int, w: int) -> int | None:
    """Return the channels of a map (1, c, h, w) or tokens (1, h · w, c); None for all others."""
    output = first_tensor(output)
    if not isinstance(output, torch.Tensor):
        return None
    if output.ndim == 4 and tuple(output.shape[-2:]) == (h, w):
        return output.shape[1]
    if output.ndim == 3 and output.shape[1] == h * w:
        return output.shape[2]
    return None


@dataclass
class _Body:
    """Blocks of one class in one module, whose outputs have equal shapes, in the order they run.

    Attributes:
        ends: Position of the end of each block.
        parameters: Number of parameters of the blocks.
    """

    ends: list[str]
    parameters: int


def _kind(module: nn.Module) -> tuple[Any, ...]:
    """Return what equal blocks have in common: their class, or what a plain container holds."""
    if type(module) is not nn.Sequential:
        return (type(module),)
    return (nn.Sequential, *(tuple(p.shape) for p in module.parameters()))


def _bodies(net: nn.Module, outputs: dict[str, _Output]) -> Iterator[_Body]:
    """Yield the chains of equal blocks in each module of a network."""
    for path, module in net.named_modules():
        children = []
        for name, child in module.named_children():
            place = f'{path}.{name}' if path else name
            if place in outputs:
                children.append((place, child))
        children.sort(key=lambda pair: outputs[pair[0]].order)
        kinds = Counter((_kind(child), outputs[place].channels) for place, child in children)
        for (kind, channels), count in kinds.items():
            if count < 2:
                continue
            ends: list[str] = []
            parameters = 0
            for place, child in children:
                same_shape = outputs[place].channels == channels
                if _kind(child) == kind and same_shape:
                    ends.append(place)
                    parameters += sum(p.numel() for p in child.parameters())
                elif ends and same_shape and isinstance(module, (nn.Sequential, nn.ModuleList)):
                    # What follows a block in a chain, such as its activation, belongs to it.
                    ends[-1] = place
            yield _Body(ends, parameters)


def listed_features(net: nn.Module) -> str:
    """Return the names of modules whose outputs can be read as features, for messages."""
    outputs = _outputs(net)
    listed = []
    # Outer modules first: the blocks rather than what is inside of them.
    for name in sorted(outputs, key=lambda name: (name.count('.'), outputs[name].order)):
        kind = type(net.get_submodule(name)).__name__
        listed.append(f'{name} ({kind}, {outputs[name].channels} channels)')
    return begun(listed, _MAX_LISTED) or 'none'


def _found_blocks(net: nn.Module) -> Sequence[str]:
    """Return the ends of the blocks of a network's body, in the order they run.

    The body is the chain of equal blocks with the most parameters. It has to have a quarter of all
    parameters of the network: small networks with large upsamplers have no more.

    Raises:
        OptionError: There is no such chain.
    """
    outputs = _outputs(net)
    total = sum(p.numel() for p in net.parameters())
    best = max(_bodies(net, outputs), key=lambda body: body.parameters, default=None)
    if best is not None and 4 * best.parameters >= total:
        return best.ends
    raise OptionError(
        f'no default positions for {arch_name(net)} (architectures with defaults: '
        f'{", ".join(BODIES)}, and those with a body of equal blocks); set it to modules, of '
        f"which these have features of the image's size: {listed_features(net)}"
    )
