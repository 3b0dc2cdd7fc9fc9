"""``mtkd upscale`` as a function."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.choices import TILE_OVERLAP
from .._process import basicsr_ready
from .._validation import (
    StrPath,
    check_device,
    check_file,
    check_flags,
    check_path,
    check_tile,
    spelled,
)


def upscale(
    images: Sequence[StrPath],
    *,
    weights: StrPath,
    options_file: StrPath | None = None,
    out: StrPath = 'upscaled',
    tile: int | None = None,
    tile_overlap: int = TILE_OVERLAP,
    device: str = 'auto',
    overwrite: bool = False,
    safe: bool = False,
) -> list[Path]:
    """Upscale images with a trained student.

    Greyscale, transparency and 16-bit depth are kept.

    Args:
        images: Image files.
        weights: Checkpoint of a student.
        options_file: Option file with the ``network_g`` of the student; not needed for checkpoints
            of ``mtkd train``.
        out: Folder for the results, ``NAME_x4.png``.
        tile: Side of a tile in low-resolution pixels, for images that do not fit into memory; None
            for whole images.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.
        device: ``'auto'``, or a device in PyTorch's notation.
        overwrite: Whether to replace existing results.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.

    Returns:
        The results, in the order of ``images``.

    Raises:
        MTKDError: An argument is invalid, the network cannot be built or loaded, results exist, or
            some images cannot be read (all of them are named, the others are upscaled).
    """
    if isinstance(images, (str, os.PathLike)) or not isinstance(images, Sequence) or not images:
        raise OptionError(f'{spelled("images")}: {images!r}; expected a list of files')
    paths = [Path(check_path('images', image)) for image in images]
    weights = check_path('weights', weights)
    out = check_path('out', out)
    check_tile(tile, tile_overlap)
    check_device(device)
    check_flags(overwrite=overwrite, safe=safe)
    if options_file is not None:
        options_file = check_file('options_file', options_file)
    with basicsr_ready():
        from .run import enlarge_files

        return enlarge_files(
            paths,
            weights=weights,
            options_file=options_file,
            out=Path(out),
            tile=tile,
            tile_overlap=tile_overlap,
            device=device,
            overwrite=overwrite,
            safe=safe,
        )
