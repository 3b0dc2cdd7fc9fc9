"""``mtkd upscale``: upscale images with a trained student."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from ...errors import DataError, OptionError
from ...functional.padding import run_padded
from ...functional.tiling import run_tiled
from ...host.resize import resize_bicubic
from ...utils.atomic import write_bytes
from ...utils.image_tensors import to_array, to_tensor
from ...utils.images import decode
from ...utils.progress import progress, say
from ...weights.loading import load_weights, network_of
from ...weights.networks import build, check_scale, size_multiple
from .._arguments import device_of, make_folder
from .._validation import spelled

_DTYPES = (np.uint8, np.uint16)
# Formats without transparency whose files may hold an EXIF orientation. OpenCV applies it in
# this mode only.
_EXIF_SUFFIXES = ('.jpg', '.jpeg')
_EXIF_MODE = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH


def read_image(path: Path) -> np.ndarray:
    """Read an image with all of its channels and its full bit depth.

    Args:
        path: Path of the image, in any format that OpenCV reads.

    Returns:
        (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16.

    Raises:
        DataError: The file does not exist, is not an image, or has an unsupported type.
    """
    if not path.is_file():
        raise DataError(f"'{path}': no such file")
    has_orientation = path.suffix.lower() in _EXIF_SUFFIXES
    image = decode(path.read_bytes(), _EXIF_MODE if has_orientation else cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError(f"'{path}': cannot be read as an image")
    if image.dtype not in _DTYPES or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise DataError(
            f"'{path}': {image.shape} {image.dtype}; expected greyscale or colour, with or without "
            'transparency, of 8 or 16 bits'
        )
    return image


def enlarge(
    image: np.ndarray, function: Callable[[torch.Tensor], torch.Tensor], scale: int
) -> np.ndarray:
    """Upscale colours with a network, and transparency with bicubic interpolation.

    Args:
        image: (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16.
        function: (1, 3, h, w) -> (1, 3, scale · h, scale · w), RGB, [0, 1].
        scale: Factor.

    Returns:
        An image with the same channels and type, ``scale`` times as high and as wide.
    """
    lq = to_tensor(image)
    channels = lq.shape[1]
    colours = lq[:, :3] if channels > 1 else lq.expand(1, 3, *lq.shape[2:])
    result = function(colours).float().cpu()
    if channels == 1:
        result = result.mean(1, keepdim=True)
    if channels == 4:
        result = torch.cat([result, resize_bicubic(lq[:, 3:], scale)], 1)
    pixels = to_array(result, image.dtype)
    return pixels[..., 0] if image.ndim == 2 else pixels


def _output_paths(images: list[Path], out: Path, scale: int, overwrite: bool) -> list[Path]:
    """Return the path of each result.

    Raises:
        OptionError: Two results have the same path, or results exist and must not be overwritten.
    """
    outputs = [out / f'{image.stem}_x{scale}.png' for image in images]
    duplicate = next((output for output in outputs if outputs.count(output) > 1), None)
    if duplicate is not None:
        raise OptionError(
            f"two images have the same output '{duplicate}'; upscale them into two folders with "
            f'{spelled("out")}'
        )
    existing = [str(output) for output in outputs if output.exists()]
    if existing and not overwrite:
        verb = 'exists' if len(existing) == 1 else 'exist'
        raise OptionError(
            f'{spelled("out")}: {", ".join(existing[:3])} already {verb}; use another folder, or '
            f'{spelled("overwrite")}'
        )
    return outputs


def enlarge_files(
    paths: list[Path],
    *,
    weights: str,
    options_file: str | None,
    out: Path,
    tile: int | None,
    tile_overlap: int,
    device: str,
    overwrite: bool,
    safe: bool,
) -> list[Path]:
    """Upscale files; see :func:`mtkd_basicsr.commands.upscale`."""
    torch_device = device_of(device)
    network, scale = network_of(options_file, weights, safe)
    outputs = _output_paths(paths, out, scale, overwrite)
    net = build(network, 'network_g').eval().requires_grad_(False)
    load_weights(net, weights, spelled('weights'))
    check_scale(net, scale, 'network_g')
    net.to(torch_device)

    def run_padded_tile(part: torch.Tensor) -> torch.Tensor:
        return run_padded(net, part, size_multiple(net), scale)

    def run_network(colours: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return run_tiled(run_padded_tile, colours.to(torch_device), scale, tile, tile_overlap)

    errors = []
    pairs = list(zip(paths, outputs, strict=True))
    for path, output in progress(pairs, unit='image', lines=False):
        try:
            result = enlarge(read_image(path), run_network, scale)
        except DataError as error:
            errors.append(str(error))
            continue
        make_folder(out)
        write_bytes(output, cv2.imencode('.png', result)[1].tobytes())
        say(f'{output}: {result.shape[1]}×{result.shape[0]}')
    if errors:
        summary = f'{len(errors)} of {len(paths)} images cannot be upscaled:'
        raise DataError('\n'.join([summary, *errors]))
    return outputs
