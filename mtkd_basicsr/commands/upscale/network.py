"""The network of ``mtkd upscale``, from any file that says or shows which one it is."""

from typing import NoReturn

from torch import nn

from ...archs import DCTSwin
from ...errors import OptionError, WeightsError
from ...host.yaml_loader import read_options
from ...teachers import SpandrelNetwork
from ...teachers.spandrel import read_spandrel
from ...utils.progress import say
from ...utils.resources import best_student
from ...weights.folding import fold
from ...weights.loading import load_weights
from ...weights.metadata import METADATA
from ...weights.networks import build, check_scale, is_inferred
from ...weights.reading import network_of, read_weights
from ...weights.state_dicts import refuse_state_of_a_training
from .._validation import spelled

# Factor of the student that upscales where no weights are given.
_SCALE = 4


def best_of_the_package() -> str:
    """Return the name of the best student that comes with the package, and say which it is."""
    student = best_student(_SCALE)
    say(
        f'upscaling with {student.name}, a small {student.arch} for ×{student.scale} that comes '
        f'with the package ({student.parameters:,d} parameters; {student.psnr:.2f} dB PSNR on '
        f'{student.test_set}, bicubic {student.bicubic_psnr:.2f} dB); {spelled("weights")} takes '
        'any other network'
    )
    return student.name


def _refuse_fusion(what: str, teachers: list[str]) -> NoReturn:
    named = f' ({", ".join(teachers)})' if teachers else ''
    raise WeightsError(
        f'{what}: this is a fusion network: it takes the outputs of its teachers{named}, not an '
        'image; expected the weights of a student, or of a teacher'
    )


def _infer(weights: str) -> SpandrelNetwork:
    """Build the network that spandrel infers from weights that do not name theirs.

    Raises:
        WeightsError: Spandrel is not installed, or knows no network with such weights.
    """
    key = spelled('weights')
    try:
        return read_spandrel(weights, key, key)
    except (OptionError, WeightsError) as error:
        reason = str(error).removeprefix(f'{key}: ')
        raise WeightsError(
            f"{key}: '{weights}' does not say which network it belongs to; pass its option file "
            f'with {spelled("options_file")}; or, for networks of spandrel: {reason}'
        ) from error


def load_network(options_file: str | None, weights: str, safe: bool) -> tuple[nn.Module, int]:
    """Build and load a network for super-resolution.

    Args:
        options_file: Option file with ``network_g``; None for a checkpoint that names its network,
            and for weights from which spandrel infers it.
        weights: The file with the weights.
        safe: Whether to execute nothing that the option file names.

    Returns:
        The network, which maps RGB to RGB, folded if it can be, on the CPU; its scale.

    Raises:
        MTKDError: A file cannot be read, they do not belong together, or the network is a fusion
            network.
    """
    key = spelled('weights')
    content = read_weights(weights, key)
    refuse_state_of_a_training(content, f"{key}: '{weights}'")
    metadata = content.get(METADATA, {})
    options = {} if options_file is None else read_options(options_file, safe)
    block = options.get('network_g')
    net: nn.Module
    if 'teachers' in metadata:
        _refuse_fusion(f"{key}: '{weights}'", metadata['teachers'])
    if isinstance(block, dict) and is_inferred(block):
        net = read_spandrel(weights, key, 'network_g')
        scale = options.get('scale', net.scale)
    elif options_file is None and 'network' not in metadata:
        net = _infer(weights)
        scale = net.scale
    else:
        block, scale = network_of(options_file, weights, safe)
        net = build(block, 'network_g')
        if isinstance(net, DCTSwin):
            _refuse_fusion(f'network_g: {block["type"]}', [])
        load_weights(net, weights, key)
    net.eval().requires_grad_(False)
    check_scale(net, scale, 'network_g')
    return fold(net), scale
