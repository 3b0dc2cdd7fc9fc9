"""``mtkd export`` as a function."""

from pathlib import Path

from ...errors import OptionError
from ...utils.choices import EXPORT_FORMATS
from .._process import basicsr_ready
from .._validation import (
    StrPath,
    check_choice,
    check_file,
    check_flags,
    check_path,
    spelled,
)


def export(
    weights: StrPath | None = None,
    *,
    format: str | None = None,
    options_file: StrPath | None = None,
    out: StrPath | None = None,
    half: bool = False,
    overwrite: bool = False,
    safe: bool = False,
) -> Path:
    """Export a trained student to one ONNX, TorchScript, safetensors or ``.pth`` file.

    The file is compared with PyTorch on a photograph before it gets its final name; the
    differences are printed.

    ONNX and TorchScript files map (b, 3, h, w), RGB, [0, 1], float32, with any b, h and w, to (b,
    3, scale · h, scale · w), clipped to [0, 1]; they pad their input themselves. Blocks that train
    as several branches (ECBSR, SPAN) are folded in them. A safetensors file holds the weights under
    BasicSR's names. A ``.pth`` file holds them under the names of the network's release, which
    spandrel and the authors' code read: RCAN as the official one, EDSR as EDSR-PyTorch, ECBSR
    folded as SRVGGNetCompact, others as they are. All files record network, scale, colour order and
    range in their metadata, except ``.pth`` files of EDSR and RCAN, whose form has no room. The
    moving average of the weights (``params_ema``) is used if the checkpoint has one.

    Args:
        weights: Checkpoint of a student; None for ``path.pretrain_network_g`` of the option file.
        format: ``'onnx'``, ``'torchscript'``, ``'safetensors'`` or ``'pth'``; None for that of the
            ending of ``out``: ``.onnx``, ``.pt``, ``.safetensors`` or ``.pth``.
        options_file: Option file with the ``network_g`` of the student; not needed for checkpoints
            of ``mtkd train``.
        out: The new file; None for one next to the weights.
        half: Whether to store 16-bit weights, for a file of half the size. An ONNX file also
            computes with 16 bits, between an input and an output of 32.
        overwrite: Whether to replace an existing file.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.

    Returns:
        The new file.

    Raises:
        OptionError: Packages are missing, an argument or the option file is invalid, or the file
            exists.
        WeightsError: The weights are missing or do not match the network.
        ExportError: The file cannot be written, or its outputs differ from PyTorch's; no file is
            left behind.
    """
    check_flags(half=half, overwrite=overwrite, safe=safe)
    if weights is not None:
        weights = check_path('weights', weights)
    if out is not None:
        out = check_path('out', out)
    if format is None:
        format = _format_of(out)
    check_choice('format', format, EXPORT_FORMATS)
    if half and format == 'torchscript':
        raise OptionError(
            f'{spelled("half")}: {spelled("format")} {format}; expected onnx, safetensors or pth'
        )
    if options_file is not None:
        options_file = check_file('options_file', options_file)
    with basicsr_ready():
        from .run import write

        return write(
            weights,
            format=format,
            options_file=options_file,
            out=out,
            half=half,
            overwrite=overwrite,
            safe=safe,
        )


def _format_of(out: StrPath | None) -> str:
    """Return the format that the ending of a file name stands for."""
    ending = '' if out is None else Path(out).suffix
    for format, suffix in EXPORT_FORMATS.items():
        if ending == suffix:
            return format
    raise OptionError(
        f'{spelled("format")}: missing; expected {", ".join(EXPORT_FORMATS)}, or {spelled("out")} '
        f'with one of the endings {", ".join(EXPORT_FORMATS.values())}'
    )
