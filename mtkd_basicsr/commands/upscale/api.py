"""``mtkd upscale`` as a function."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.choices import PICTURE_FORMATS, TILE_OVERLAP
from .._process import basicsr_ready
from .._validation import (
    StrPath,
    check_choice,
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
    weights: StrPath | None = None,
    options_file: StrPath | None = None,
    out: StrPath = 'upscaled',
    format: str | None = None,
    tile: int | None = None,
    tile_overlap: int = TILE_OVERLAP,
    device: str = 'auto',
    overwrite: bool = False,
    skip_existing: bool = False,
    safe: bool = False,
) -> list[Path]:
    """Upscale images with a trained network.

    What a file is decides its content, not the ending of its name. Orientation is applied;
    greyscale, transparency, 16-bit depth and colour profile are kept.

    Args:
        images: Image files, and folders of images with all that is below them.
        weights: Checkpoint of a student, weights that spandrel knows, or ``reference:NAME`` for a
            network that comes with the package. None for the best of its students for ×4, whose
            name is printed.
        options_file: Option file with the ``network_g`` of the student; not needed for checkpoints
            of ``mtkd train`` and weights that spandrel knows.
        out: Folder for the results, ``NAME_x4.png``, which keeps the structure of folders; or, for
            one image, the new file.
        format: ``'png'``, ``'jpg'`` or ``'webp'``; None for that of the file ``out``, else PNG.
            JPEG and WebP have 8 bits, JPEG no transparency.
        tile: Side of a tile in low-resolution pixels. None chooses it: at most 512, less if memory
            is short. In any case smaller tiles follow when memory runs out.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.
        device: ``'auto'``, or a device in PyTorch's notation.
        overwrite: Whether to replace existing results.
        skip_existing: Whether to leave existing results as they are, and do the others.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.

    Returns:
        The results, in the order of ``images``, each once.

    Raises:
        MTKDError: An argument is invalid, the network cannot be built or loaded, results exist, or
            some images cannot be upscaled (all of them are named, the others are upscaled).
    """
    if isinstance(images, (str, os.PathLike)) or not isinstance(images, Sequence) or not images:
        raise OptionError(f'{spelled("images")}: {images!r}; expected a list of files')
    paths = [Path(check_path('images', image)) for image in images]
    if weights is not None:
        weights = check_path('weights', weights)
    elif options_file is not None:
        raise OptionError(
            f'{spelled("weights")}: missing; expected the weights for the network of '
            f"{spelled('options_file')} '{options_file}'"
        )
    out = check_path('out', out)
    if format is not None:
        check_choice('format', format, PICTURE_FORMATS)
    check_tile(tile, tile_overlap)
    check_device(device)
    check_flags(overwrite=overwrite, skip_existing=skip_existing, safe=safe)
    if overwrite and skip_existing:
        raise OptionError(
            f'{spelled("overwrite")}: not allowed with {spelled("skip_existing")}; expected at '
            'most one of them'
        )
    if options_file is not None:
        options_file = check_file('options_file', options_file)
    with basicsr_ready():
        from .run import enlarge_files

        return enlarge_files(
            paths,
            weights=weights,
            options_file=options_file,
            out=out,
            format=format,
            tile=tile,
            tile_overlap=tile_overlap,
            device=device,
            overwrite=overwrite,
            skip_existing=skip_existing,
            safe=safe,
        )
