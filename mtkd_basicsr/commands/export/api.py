"""``mtkd export`` as a function."""

import os
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
    format: str,
    options_file: StrPath | None = None,
    out: StrPath | None = None,
    half: bool = False,
    overwrite: bool = False,
    safe: bool = False,
) -> Path:
    """Write a trained student as one ONNX, TorchScript or safetensors file.

    The file is compared with PyTorch on a photograph before it gets its name; the differences are
    printed.

    ONNX and TorchScript files take (b, 3, h, w), RGB, [0, 1], float32, any b, h and w, and give (b,
    3, scale · h, scale · w), cut to [0, 1]: what a network needs as padding is done inside. A
    safetensors file holds the weights under BasicSR's names. All of them say which network they
    hold. The moving average of the weights (``params_ema``) is taken where there is one.

    Args:
        weights: Checkpoint of a student; None for ``path.pretrain_network_g`` of the option file.
        format: ``'onnx'``, ``'torchscript'`` or ``'safetensors'``.
        options_file: Option file with its ``network_g``; not needed for checkpoints of ``mtkd
            train``.
        out: The new file; None for one beside the weights.
        half: Whether weights have 16 bits, for a safetensors file of half the size.
        overwrite: Whether to replace a file that is there.
        safe: Whether to execute nothing that the option file names: Python tags are refused.

    Returns:
        The new file.

    Raises:
        OptionError: Packages are missing, an argument or the option file cannot be used, or the
            file is there already.
        WeightsError: The weights are missing or do not fit.
        ExportError: The file cannot be written, or does not give what PyTorch gives; nothing is
            left of it.
    """
    check_choice('format', format, EXPORT_FORMATS)
    check_flags(half=half, overwrite=overwrite, safe=safe)
    if half and format != 'safetensors':
        raise OptionError(f'{spelled("half")}: {spelled("format")} {format}; expected safetensors')
    for keyword, path in (('weights', weights), ('out', out)):
        if path is not None:
            check_path(keyword, path)
    if options_file is not None:
        check_file('options_file', options_file)
    with basicsr_ready():
        from .run import write

        return write(
            weights,
            format=format,
            options_file=None if options_file is None else os.fspath(options_file),
            out=out,
            half=half,
            overwrite=overwrite,
            safe=safe,
        )
