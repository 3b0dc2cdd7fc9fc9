"""``mtkd upscale``: upscale images of all kinds with a trained network."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError, OptionError
from ...utils.memory import is_out_of_memory
from ...utils.picture import Picture, read_picture
from ...utils.progress import progress, say
from .._arguments import device_of, make_folder
from .._validation import spelled
from .enlarging import enlarge
from .names import (
    check_results,
    find_sources,
    format_of,
    name_all_but_results,
    name_results,
    names_a_file,
)
from .network import best_of_the_package, load_network
from .tiled_network import TiledNetwork
from .writing import fitting_profile, on_white, write_picture

# Bytes that are needed beside the network for each byte of a result: itself, another order of its
# colours, and the file.
_COPIES = 3


@dataclass(frozen=True)
class Settings:
    """How results are written.

    Attributes:
        format: A key of ``PICTURE_FORMATS``.
        overwrite: Whether to replace existing files.
    """

    format: str
    overwrite: bool


def _notes(picture: Picture) -> list[str]:
    """Say what of a picture is not in its result, or is there in another form."""
    notes = []
    if picture.frames > 1:
        notes.append(f'first of {picture.frames} frames')
    if picture.cmyk == 'profile':
        notes.append('CMYK converted to sRGB by its profile')
    if picture.cmyk == 'naive':
        notes.append('CMYK without a usable profile: its colours are a guess')
    return notes


def _upscale(picture: Picture, network: TiledNetwork, format: str, name: str) -> np.ndarray:
    """Return the enlarged pixels of a picture, in the type that the format takes.

    Raises:
        DataError: Memory is not enough for the smallest tiles.
        MemoryError: It is not enough for the result.
    """
    h, w, *channels = picture.pixels.shape
    dtype = picture.pixels.dtype if format == 'png' else np.dtype(np.uint8)
    result = np.empty((network.scale * h, network.scale * w, *(channels or [1])), dtype)
    while True:
        tile = network.tile_size(h, w, _COPIES * result.nbytes)
        try:
            enlarge(
                picture.pixels,
                result,
                network,
                tile,
                network.overlap,
                is_grey=picture.is_grey,
                name=name,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return result if channels else result[..., 0]
        # Here the tensors of the failed call are gone, because the error is.
        network.reduce_tiles(min(max(tile), max(h, w)))


def _enlarge_file(path: Path, output: Path, network: TiledNetwork, settings: Settings) -> None:
    """Upscale a picture, write the result, and print its size.

    Raises:
        DataError: The picture cannot be read, memory is not enough, or the file cannot be written.
        OptionError: The folder of the result cannot be created.
    """
    format = settings.format
    picture = read_picture(path, str(path))
    notes = _notes(picture)
    pixels = _upscale(picture, network, format, path.name)
    if format == 'jpg' and pixels.shape[2:] == (4,):
        pixels = on_white(pixels)
        notes.append('transparency on white')
    # Greyscale with transparency and 16 bits becomes colours; WebP has nothing else.
    is_grey = pixels.ndim == 2 or (picture.is_grey and pixels.dtype == np.uint8)
    is_grey = is_grey and format != 'webp' and pixels.shape[2:] != (3,)
    profile, note = fitting_profile(picture.profile, is_grey)
    if note is not None:
        notes.append(note)
    make_folder(output.parent)
    if os.path.exists(output) and not settings.overwrite:
        raise DataError(f"'{path}': '{output}' has appeared in the meantime, and is kept")
    write_picture(output, pixels, format, profile, is_grey)
    h, w = pixels.shape[:2]
    say('; '.join([f'{output}: {w}×{h}', *notes]))


def _results(
    inputs: list[Path],
    out: str,
    scale: int,
    format: str | None,
    overwrite: bool,
    skip_existing: bool,
) -> tuple[list[tuple[Path, Path]], str]:
    """Pair each picture with its result, and choose the format.

    Raises:
        MTKDError: A folder has no pictures, results have one name, or exist and must not be
            overwritten, or ``out`` names one file for several pictures.
    """
    is_file = names_a_file(out)
    folder = Path(out).parent if is_file else Path(out)
    chosen = format_of(Path(out), is_file, format)
    sources = find_sources(inputs, None if is_file else folder)
    if is_file and (len(sources) > 1 or any(os.path.isdir(path) for path in inputs)):
        raise OptionError(
            f"{spelled('out')}: '{out}' is one file, for {len(sources)} images; name a folder"
        )
    if is_file:
        results = [Path(out)]
    elif skip_existing:
        sources, results = name_all_but_results(sources, inputs, folder, scale, chosen)
    else:
        results = name_results(sources, folder, scale, chosen)
    check_results(sources, results, overwrite, skip_existing)
    return [(source.path, result) for source, result in zip(sources, results, strict=True)], chosen


def enlarge_files(
    inputs: list[Path],
    *,
    weights: str | None,
    options_file: str | None,
    out: str,
    format: str | None,
    tile: int | None,
    tile_overlap: int,
    device: str,
    overwrite: bool,
    skip_existing: bool,
    safe: bool,
) -> list[Path]:
    """Upscale files; see :func:`mtkd_basicsr.commands.upscale`."""
    torch_device = device_of(device)
    if weights is None:
        weights = best_of_the_package()
    net, scale = load_network(options_file, weights, safe)
    pairs, chosen = _results(inputs, out, scale, format, overwrite, skip_existing)
    network = TiledNetwork(net, scale, torch_device, tile, tile_overlap)
    settings = Settings(chosen, overwrite)
    wanted = [pair for pair in pairs if not (skip_existing and os.path.exists(pair[1]))]
    if len(wanted) < len(pairs):
        say(f'{len(pairs) - len(wanted)} of {len(pairs)} results exist and are skipped')
    errors = []
    for path, output in progress(wanted, unit='image', lines=False, disable=len(wanted) < 2):
        try:
            _enlarge_file(path, output, network, settings)
        except DataError as error:
            text = str(error)
            errors.append(text if str(path) in text else f"'{path}': {text}")
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            errors.append(f"'{path}': not enough memory for its result")
    if errors:
        summary = f'{len(errors)} of {len(wanted)} images cannot be upscaled:'
        raise DataError('\n'.join([summary, *errors]))
    return [output for _, output in pairs]
