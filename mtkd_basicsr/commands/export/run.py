"""``mtkd export``: a trained student as one file for other programs."""

import argparse
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save
from torch import nn

from ...data.sample_photographs import load, low_resolution
from ...errors import ExportError, OptionError, first_line
from ...functional.padding import run_padded
from ...host.yaml_loader import read_options
from ...utils.image_tensors import to_tensor
from ...utils.json_types import to_json_types
from ...utils.resources import REFERENCE
from ...utils.version import __version__
from ...weights.loading import load_weights, network_of
from ...weights.metadata import metadata_texts
from ...weights.networks import build, check_scale, size_multiple
from .._arguments import make_folder
from .traceable import TraceableStudent

TOLERANCE = 1e-4  # of [0, 1]: a fortieth of a level of 8 bits
# What torch.onnx writes without converting it, and runtimes since 2023 read.
_OPSET = 18

ImageFunction = Callable[[torch.Tensor], torch.Tensor]


def _example() -> torch.Tensor:
    # Two images: an exporter may take a size of 1 for a constant. Neither side is a multiple of a
    # window.
    return torch.rand(2, 3, 37, 45)


def _write_onnx(net: nn.Module, scale: int, path: str, metadata: dict[str, str]) -> None:
    program = torch.onnx.export(
        TraceableStudent(net, scale),
        (_example(),),
        dynamo=True,
        opset_version=_OPSET,
        verbose=False,
        input_names=['lq'],
        output_names=['sr'],
        dynamic_shapes=({0: 'batch', 2: 'height', 3: 'width'},),
    )
    assert program is not None  # with dynamo there is one
    program.model.metadata_props.update(metadata)
    program.save(path)


def _open_onnx(path: str) -> ImageFunction:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda lq: torch.from_numpy(session.run(['sr'], {'lq': lq.numpy()})[0])


def _write_torchscript(net: nn.Module, scale: int, path: str, metadata: dict[str, str]) -> None:
    # Without PyTorch's own check, which traces once more at the same size.
    graph = torch.jit.trace(TraceableStudent(net, scale), _example(), check_trace=False)
    torch.jit.save(graph, path, _extra_files=metadata)


def _write_safetensors(
    net: nn.Module, scale: int, path: str, metadata: dict[str, str], half: bool = False
) -> None:
    state = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous()
        for name, value in net.state_dict().items()
    }
    # Readers of the format know it as 'pt' that tensors have PyTorch's names and layout. (save_file
    # makes a file for its owner alone.)
    Path(path).write_bytes(save(state, {**metadata, 'format': 'pt'}))


def _round_to_half(net: nn.Module, scale: int) -> None:
    """Round the weights to 16 bits, and print what that does to a photograph."""
    lq = inputs(scale)[0]
    before = _student(net, scale)(lq)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())
    after = _student(net, scale)(lq)
    if not after.isfinite().all():
        raise ExportError('--half: the weights are too large for 16 bits')
    print(
        'weights of 16 bits change a photograph by '
        f'{(after - before).abs().max().item() * 255:.2f} of 255 levels at most'
    )


def _student(net: nn.Module, scale: int) -> ImageFunction:
    """Return what every file has to compute.

    It is (b, 3, h, w) -> (b, 3, scale · h, scale · w), cut to [0, 1].
    """
    return lambda lq: run_padded(net, lq, size_multiple(net), scale).clamp(0, 1)


def _open_safetensors(path: str) -> ImageFunction:
    network, scale = network_of(None, path)
    net = build(network, 'network').eval()
    load_weights(net, path, '--out')
    return _student(net, scale)


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: Of its files.
        write: Called as ``write(net, scale, path, metadata)``.
        open: Called as ``open(path)``; returns a function of images.
        packages: What has to be installed.
    """

    suffix: str
    write: Callable[..., None]
    open: Callable[[str], ImageFunction]
    packages: tuple[str, ...] = ()


FORMATS = {
    'onnx': Format('.onnx', _write_onnx, _open_onnx, ('onnx', 'onnxruntime', 'onnxscript')),
    'torchscript': Format('.pt', _write_torchscript, torch.jit.load),
    'safetensors': Format('.safetensors', _write_safetensors, _open_safetensors),
}


def inputs(scale: int) -> list[torch.Tensor]:
    """Return the images that a file is tried on.

    They are parts of a photograph in both orientations, a batch of small ones, and one that is
    smaller than any window.

    Args:
        scale: How much the photograph is reduced before.

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


def _expected(net: nn.Module, scale: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the inputs, each with what PyTorch makes of it."""
    check_scale(net, scale, 'network_g')
    return [(lq, _student(net, scale)(lq)) for lq in inputs(scale)]


def verify(
    function: ImageFunction,
    pairs: list[tuple[torch.Tensor, torch.Tensor]],
    name: str | os.PathLike[str],
) -> None:
    """Print how far a file is from PyTorch, for each input.

    Args:
        function: (b, 3, h, w) -> (b, 3, scale · h, scale · w), of the file.
        pairs: Inputs, and what PyTorch gives.
        name: Of the file, for messages.

    Raises:
        ExportError: it fails for one of them, or differs by more than ``TOLERANCE``.
    """
    for lq, expected in pairs:
        shape = tuple(lq.shape)
        try:
            given = function(lq)
        except Exception as error:
            raise ExportError(
                f"'{name}': fails for input {shape}, and was removed: {first_line(error)}"
            ) from error
        if given.shape != expected.shape:
            raise ExportError(
                f"'{name}': output {tuple(given.shape)} for input {shape}, and was removed; "
                f'expected {tuple(expected.shape)}'
            )
        difference = (given - expected).abs().max().item()
        print(f'input {shape}: largest difference {difference:.1e}')
        if not difference <= TOLERANCE:  # also where it is not a number
            raise ExportError(
                f"'{name}': differs from PyTorch by {difference:.1e} for input {shape}, and was "
                'removed; '
                f'expected at most {TOLERANCE:.0e}'
            )


def _weights(args: argparse.Namespace) -> str:
    """Return the file with weights: ``--weights``, or what the option file names."""
    if args.weights is not None:
        return os.path.expanduser(args.weights)
    if args.opt is None:
        raise OptionError(
            '--weights: missing; it is needed, or an option file with path.pretrain_network_g '
            '(-opt)'
        )
    block = read_options(args.opt, args.safe).get('path')
    path = block.get('pretrain_network_g') if isinstance(block, dict) else None
    if not isinstance(path, str):
        raise OptionError(
            f"-opt: '{args.opt}' has no path.pretrain_network_g; give the trained weights with "
            '--weights'
        )
    return os.path.expanduser(path)


def _target(args: argparse.Namespace, weights: str, suffix: str) -> Path:
    """Return the path of the new file: beside the weights unless ``--out`` says otherwise."""
    target = (
        Path(args.out) if args.out else Path(weights.removeprefix(REFERENCE)).with_suffix(suffix)
    )
    if target.suffix != suffix:
        raise OptionError(f"--out: '{target}'; expected a name that ends with {suffix}")
    if target.resolve() == Path(weights).resolve():
        raise OptionError(f"--out: '{target}' is the file of the weights; use another name")
    if target.exists() and not args.overwrite:
        raise OptionError(f"--out: '{target}' is there already; use another name, or --overwrite")
    return target


def export(args: argparse.Namespace) -> None:
    """Write a trained student as one ONNX, TorchScript or safetensors file.

    The file is compared with PyTorch on a photograph before it gets its name.

    ONNX and TorchScript files take (b, 3, h, w), RGB, [0, 1], float32, any b, h and w, and give (b,
    3, scale · h, scale · w), cut to [0, 1]: what a network needs as padding is done inside. A
    safetensors file holds the weights under BasicSR's names, with ``--half`` in 16 bits. All of
    them say which network they hold. The moving average of the weights (``params_ema``) is taken
    where there is one.

    Args:
        args: What :func:`add_arguments` has parsed.

    Raises:
        OptionError: packages are missing, an argument or the option file cannot be used, or the
            file is there already.
        WeightsError: the weights are missing or do not fit.
        ExportError: the file cannot be written, or does not give what PyTorch gives; nothing is
            left of it.
    """
    form = FORMATS[args.format]
    missing = [package for package in form.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise OptionError(
            f'--format: {args.format} needs {", ".join(missing)}: pip install '
            "'mtkd_basicsr[export]'"
        )
    weights = _weights(args)
    target = _target(args, weights, form.suffix)
    network, scale = network_of(args.opt, weights, args.safe)
    net = build(network, 'network_g').eval().requires_grad_(False)
    load_weights(net, weights, '--weights' if args.weights else 'path.pretrain_network_g')
    network = to_json_types(network)
    if args.half:
        _round_to_half(net, scale)
    if 'rgb_mean' in inspect.signature(type(net)).parameters:
        # may have come out of the weights, and is no part of a state dict
        network['rgb_mean'] = cast(torch.Tensor, net.mean).flatten().tolist()
    metadata = {
        'format': args.format,
        **metadata_texts({'network': network, 'scale': scale, 'version': __version__}),
    }
    pairs = _expected(net, scale)
    make_folder(target.parent)
    temporary = target.with_name(f'.{target.stem}.{os.getpid()}.tmp{form.suffix}')
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # whether the file is right is seen below
                form.write(
                    net, scale, str(temporary), metadata, **({'half': True} if args.half else {})
                )
                function = form.open(str(temporary))
        except Exception as error:
            raise ExportError(
                f'--format: {network["type"]} cannot be written as {args.format} by torch '
                f'{torch.__version__}: '
                f'{first_line(error)}'
            ) from error
        with torch.no_grad():
            verify(function, pairs, target)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    print(
        f'{target}: {network["type"]} ×{scale}, {target.stat().st_size / 1e6:.1f} MB, weights of '
        f"'{weights}'"
    )
