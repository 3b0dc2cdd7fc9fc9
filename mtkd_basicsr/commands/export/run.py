"""``mtkd export``: export a trained student to one file for other programs."""

import importlib.util
import inspect
import os
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ...data.sample_photographs import load, low_resolution
from ...errors import ExportError, OptionError, WeightsError, first_line
from ...host.yaml_loader import read_options
from ...utils.atomic import replacing
from ...utils.image_tensors import to_tensor
from ...utils.json_types import of_other_types, to_json_types
from ...utils.resources import REFERENCE, weights_file
from ...utils.version import __version__
from ...weights.loading import load_weights
from ...weights.metadata import metadata_texts
from ...weights.networks import build, check_scale
from ...weights.reading import network_of
from .._arguments import make_folder
from .._validation import StrPath, spelled
from .formats import FORMATS, ImageFunction, Student, function_of

TOLERANCE = 1e-4  # for values in [0, 1]; one fortieth of an 8-bit level
# With 16 bits, of which a value near 1 has eight levels for each one of 8 bits.
HALF_TOLERANCE = 1e-2
# Who opens weights pads images in their own way, but none whose sides are multiples of this, as
# those of windows and pixel unshuffles are.
_UNPADDED = 16


def _round_to_half(net: nn.Module, scale: int) -> None:
    """Round the weights to 16 bits, and print how much that changes a photograph."""
    lq = inputs(scale)[0]
    full = function_of(net, scale)(lq)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())
    rounded = function_of(net, scale)(lq)
    if not rounded.isfinite().all():
        raise ExportError(f'{spelled("half")}: the weights are too large for 16 bits')
    levels = (rounded - full).abs().max().item() * 255
    print(f'16-bit weights change a photograph by at most {levels:.2f} of 255 levels')


def inputs(scale: int) -> list[torch.Tensor]:
    """Return the images that an exported file is tested with.

    They are a part of a photograph in both orientations, a batch of small parts, and a part that
    is smaller than any window.

    Args:
        scale: Factor that the photograph is downscaled by.

    Returns:
        (b, 3, h, w), RGB, [0, 1].
    """
    image = load('chelsea')
    h, w = (size // scale * scale for size in image.shape[:2])
    small_image = low_resolution(image[:h, :w, ::-1], scale)
    lq = to_tensor(small_image[:100, :150])
    small = lq[..., :50, :33]
    parts = [lq, lq.transpose(2, 3), torch.cat([small, small.flip(2)]), lq[..., :5, :3]]
    return [part.contiguous() for part in parts]


def _expected(net: nn.Module, scale: int, format: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the inputs of the test, each with PyTorch's output."""
    check_scale(net, scale, 'network_g')
    pairs = []
    for lq in inputs(scale):
        if format == 'pth':
            h, w = (size // _UNPADDED * _UNPADDED for size in lq.shape[-2:])
            lq = lq[..., :h, :w].contiguous()
        if lq.numel():
            pairs.append((lq, function_of(net, scale)(lq)))
    return pairs


def verify(
    function: ImageFunction,
    pairs: list[tuple[torch.Tensor, torch.Tensor]],
    name: str | os.PathLike[str],
    tolerance: float | None = None,
) -> None:
    """Compare the outputs of an exported file with PyTorch's, and print the differences.

    Args:
        function: The exported file: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
        pairs: Inputs and PyTorch's outputs.
        name: Name of the file, for messages.
        tolerance: Largest difference, for values in [0, 1]; None for ``TOLERANCE``.

    Raises:
        ExportError: The file fails for an input, or differs by more.
    """
    tolerance = TOLERANCE if tolerance is None else tolerance
    for lq, expected in pairs:
        shape = tuple(lq.shape)
        try:
            actual = function(lq)
        except Exception as error:
            raise ExportError(
                f"'{name}': fails for input {shape} and was removed: {first_line(error)}"
            ) from error
        if actual.shape != expected.shape:
            raise ExportError(
                f"'{name}': output {tuple(actual.shape)} for input {shape}; expected "
                f'{tuple(expected.shape)}; the file was removed'
            )
        difference = (actual - expected).abs().max().item()
        print(f'input {shape}: largest difference {difference:.1e}')
        if not difference <= tolerance:  # also if it is NaN
            raise ExportError(
                f"'{name}': differs from PyTorch by {difference:.1e} for input {shape}; expected "
                f'at most {tolerance:.0e}; the file was removed'
            )


def _named_weights(weights: StrPath | None, options_file: StrPath | None, safe: bool) -> str:
    """Return the weights that are given, or those that the option file names."""
    if weights is not None:
        return os.path.expanduser(weights)
    if options_file is None:
        raise OptionError(
            f'{spelled("weights")}: missing; expected a checkpoint, or an option file with '
            f'path.pretrain_network_g ({spelled("options_file")})'
        )
    block = read_options(options_file, safe).get('path')
    path = block.get('pretrain_network_g') if isinstance(block, dict) else None
    if not isinstance(path, str):
        raise OptionError(
            f"{spelled('options_file')}: '{options_file}' has no path.pretrain_network_g; pass the "
            f'trained weights with {spelled("weights")}'
        )
    return os.path.expanduser(path)


def _weights(weights: StrPath | None, options_file: StrPath | None, safe: bool) -> tuple[str, str]:
    """Return an existing weight file, or ``reference:NAME``, and the key that names it."""
    found = _named_weights(weights, options_file, safe)
    key = 'path.pretrain_network_g' if weights is None else spelled('weights')
    if not os.path.isfile(weights_file(found, key)):
        raise WeightsError(f"{key}: no file '{found}'")
    return found, key


def _target(out: StrPath | None, overwrite: bool, weights: str, suffix: str) -> Path:
    """Return the path of the new file: ``out``, or a file next to the weights."""
    target = Path(out) if out else Path(weights.removeprefix(REFERENCE)).with_suffix(suffix)
    key = spelled('out')
    if target.suffix != suffix:
        raise OptionError(f"{key}: '{target}'; expected a name that ends with {suffix}")
    if os.path.realpath(target) == os.path.realpath(weights):
        raise OptionError(f"{key}: '{target}' is the weight file itself; use another name")
    if os.path.lexists(target) and not overwrite:
        raise OptionError(
            f"{key}: '{target}' already exists; use another name, or {spelled('overwrite')}"
        )
    return target


def _encode(student: Student, format: str) -> bytes:
    """Return the content of the file.

    Raises:
        ExportError: The format, or this release of PyTorch, does not fit the network.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # verify() checks the file
            return FORMATS[format].encode(student)
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f'{spelled("format")}: torch {torch.__version__} cannot export '
            f'{student.network["type"]} to {format}: {first_line(error)}'
        ) from error


def _open(path: str, student: Student, format: str, name: Path) -> ImageFunction:
    """Open the written file as a user would.

    Args:
        path: The file.
        student: What it was written from.
        format: A key of ``FORMATS``.
        name: Name that the file will have, for messages.

    Raises:
        ExportError: It cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return FORMATS[format].open(path, student)
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f"{spelled('format')}: '{name}': the {format} file of {student.network['type']} "
            f'cannot be opened and was removed: {first_line(error)}'
        ) from error


def _recordable(arguments: dict[str, Any], format: str) -> dict[str, Any]:
    """Return the network's type and arguments as a file can hold them; unchanged with classes and
    functions, which no file can.

    Raises:
        ExportError: The format needs a record of the network, and there can be none.
    """
    lost = list(of_other_types(arguments, 'network_g'))
    if not lost:
        recordable: dict[str, Any] = to_json_types(arguments)
        return recordable
    if format == 'safetensors':
        raise ExportError(
            f'{lost[0]}: a class or function, which a safetensors file cannot record; expected '
            f'another {spelled("format")}, or a network that has it as default'
        )
    if format == 'pth':
        print(f'{lost[0]}: a class or function; the file has no record of the network')
    return dict(arguments)


def write(
    given_weights: StrPath | None,
    *,
    format: str,
    options_file: str | None,
    out: StrPath | None,
    half: bool,
    overwrite: bool,
    safe: bool,
) -> Path:
    """Export a student to one file; see :func:`mtkd_basicsr.commands.export`."""
    file_format = FORMATS[format]
    missing = [name for name in file_format.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f'{spelled("format")}: {format} needs {", ".join(missing)}: pip install '
            "'mtkd_basicsr[export]'"
        )
    weights, key = _weights(given_weights, options_file, safe)
    target = _target(out, overwrite, weights, file_format.suffix)
    network, scale = network_of(options_file, weights, safe)
    net = build(network, 'network_g').eval().requires_grad_(False)
    load_weights(net, weights, key)
    network = _recordable(network, format)
    if half:
        _round_to_half(net, scale)
    if 'rgb_mean' in inspect.signature(type(net)).parameters:
        # It may come from the weights, and is not part of a state dict.
        network['rgb_mean'] = cast(torch.Tensor, net.mean).flatten().tolist()
    metadata = {
        'format': format,
        'precision': 'fp16' if half else 'fp32',
        **metadata_texts(
            {'network': to_json_types(network), 'scale': scale, 'version': __version__}
        ),
    }
    pairs = _expected(net, scale, format)
    student = Student(net, network, scale, metadata, half)
    make_folder(target.parent)
    content = _encode(student, format)
    try:
        # After an error inside, no file is left behind.
        with replacing(target, keep_suffix=True) as temporary:
            Path(temporary).write_bytes(content)
            function = _open(temporary, student, format, target)
            with torch.no_grad():
                # A graph computes with 16 bits, and what is converted or folded is rounded again.
                is_rough = half and format in ('onnx', 'pth')
                verify(function, pairs, target, HALF_TOLERANCE if is_rough else None)
    except OSError as error:
        raise ExportError(
            f"{spelled('out')}: '{target}' cannot be written: {error.strerror or error}"
        ) from error
    megabytes = target.stat().st_size / 1e6
    name = network.get('arch', network['type'])  # of a network of spandrel
    print(f"{target}: {name} ×{scale}, {megabytes:.1f} MB, weights from '{weights}'")
    return target
