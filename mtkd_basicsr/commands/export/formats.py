"""The file formats of ``mtkd export``: how each is encoded and opened."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from ...errors import OptionError, WeightsError
from ...functional.padding import run_padded
from ...teachers.spandrel import read_spandrel
from ...utils.choices import EXPORT_FORMATS
from ...utils.json_types import of_other_types
from ...weights.differences import is_computed
from ...weights.loading import load_weights
from ...weights.metadata import IMAGES, METADATA, metadata_of_texts
from ...weights.networks import build, size_multiple
from ...weights.reading import network_of
from ...weights.released import released
from .._validation import spelled
from .traceable import TraceableStudent

# The opset that torch.onnx writes without a conversion; runtimes since 2023 read it.
_OPSET = 18

ImageFunction = Callable[[torch.Tensor], torch.Tensor]


def _in_few_bits(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor of small whole numbers in 8 or 16 bits, and any other as it is."""
    for dtype in (torch.uint8, torch.int8, torch.int16):
        small = value.to(dtype)
        if torch.equal(small.to(value.dtype), value):
            return small
    return value


def _example() -> torch.Tensor:
    # A batch of two, because an exporter may treat a size of 1 as a constant. Neither side is a
    # multiple of the window size.
    return torch.rand(2, 3, 37, 45)


@dataclass(frozen=True)
class Student:
    """What is exported.

    Attributes:
        net: The network, in ``eval()``, on the CPU, frozen.
        network: Its type and arguments.
        scale: Factor that it upscales by.
        metadata: Texts by name, for files that hold any.
        half: Whether to store 16-bit weights; in a graph, to compute with 16 bits as well.
    """

    net: nn.Module
    network: dict[str, Any]
    scale: int
    metadata: dict[str, str]
    half: bool = False

    def stored(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the tensors of a state dict as they are stored."""
        tensors = {}
        for name, value in state.items():
            # The colour mean, up to 255, would be off by a part of a level.
            is_mean = name.split('.')[0] in ('sub_mean', 'add_mean')
            rounds = self.half and value.is_floating_point() and not is_mean
            kept = value.half() if rounds else value
            if self.half and is_computed(name):
                # In a small SwinIR they take more than the weights. Who opens the file copies them
                # into buffers of the usual types.
                kept = _in_few_bits(kept)
            tensors[name] = kept.contiguous()
        return tensors


def function_of(net: nn.Module, scale: int) -> ImageFunction:
    """Return the function that every exported file must compute.

    It maps (b, 3, h, w) to (b, 3, scale · h, scale · w), RGB, clipped to [0, 1].
    """
    return lambda lq: run_padded(net, lq, size_multiple(net), scale).clamp(0, 1)


def _encode_onnx(student: Student) -> bytes:
    program = torch.onnx.export(
        TraceableStudent(student.net, student.scale, student.half),
        (_example(),),
        dynamo=True,
        opset_version=_OPSET,
        verbose=False,
        input_names=['lq'],
        output_names=['sr'],
        dynamic_shapes=({0: 'batch', 2: 'height', 3: 'width'},),
    )
    assert program is not None  # because of dynamo=True
    program.model.metadata_props.update(student.metadata)
    return program.model_proto.SerializeToString()


def _open_onnx(path: str, student: Student) -> ImageFunction:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda lq: torch.from_numpy(session.run(['sr'], {'lq': lq.numpy()})[0])


def _encode_torchscript(student: Student) -> bytes:
    # PyTorch's own check would only trace again at the same size; verify() does more.
    graph = torch.jit.trace(
        TraceableStudent(student.net, student.scale), _example(), check_trace=False
    )
    # Given a path, PyTorch ends the process where the disk is full.
    file = io.BytesIO()
    torch.jit.save(graph, file, _extra_files=student.metadata)
    return file.getvalue()


def _open_torchscript(path: str, student: Student) -> ImageFunction:
    return torch.jit.load(path)


def _encode_safetensors(student: Student) -> bytes:
    # 'pt' is the format's mark for tensors with PyTorch's names and layout.
    tensors = student.stored(student.net.state_dict())
    return save(tensors, {**student.metadata, 'format': 'pt'})


def _open_safetensors(path: str, student: Student) -> ImageFunction:
    network, scale = network_of(None, path)
    net = build(network, 'network').eval()
    load_weights(net, path, spelled('out'))
    return function_of(net, scale)


def _encode_pth(student: Student) -> bytes:
    kept = released(student.net, student.network)
    print(f'names of the weights: {kept.names}{"; " if kept.hint else ""}{kept.hint}')
    content: dict[str, Any] = student.stored(kept.state)
    if kept.network is not None and not any(of_other_types(kept.network, 'network_g')):
        metadata = metadata_of_texts(student.metadata) or {}
        content = {
            'params': content,
            METADATA: {**metadata, **IMAGES, 'network': kept.network},
        }
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _open_pth(path: str, student: Student) -> ImageFunction:
    """Open a file with spandrel, as most programs do; if it cannot, as this package does."""
    try:
        found = read_spandrel(path, spelled('out'), spelled('out')).eval()
    except (OptionError, WeightsError):
        kept = released(student.net, student.network)
        net = build(kept.network or student.network, 'network').eval()
        load_weights(net, path, spelled('out'))
        print('spandrel is not installed, or knows no such network: opened as BasicSR does')
        return function_of(net, student.scale)
    print(f'opened as {found.arch_name}')
    return function_of(found, student.scale)


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: Suffix of its files.
        encode: Function called as ``encode(student)``; returns the content of a file. It writes
            nothing, so that its errors are not those of a disk.
        open: Function called as ``open(path, student)``; returns a function of images.
        packages: Packages that must be installed.
    """

    suffix: str
    encode: Callable[[Student], bytes]
    open: Callable[[str, Student], ImageFunction]
    packages: tuple[str, ...] = ()


FORMATS = {
    'onnx': Format(
        EXPORT_FORMATS['onnx'], _encode_onnx, _open_onnx, ('onnx', 'onnxruntime', 'onnxscript')
    ),
    'torchscript': Format(EXPORT_FORMATS['torchscript'], _encode_torchscript, _open_torchscript),
    'safetensors': Format(EXPORT_FORMATS['safetensors'], _encode_safetensors, _open_safetensors),
    'pth': Format(EXPORT_FORMATS['pth'], _encode_pth, _open_pth),
}
