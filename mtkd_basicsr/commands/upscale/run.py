"""``mtkd upscale``: enlarge pictures with a trained student."""

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

_DEPTHS = (np.uint8, np.uint16)
# These have no transparency, but may say that they are to be turned, which OpenCV does in this mode
# alone.
_TURNED = ('.jpg', '.jpeg')


def read_picture(path: Path) -> np.ndarray:
    """Read a picture with all that is in it.

    Args:
        path: Any format of OpenCV's.

    Returns:
        (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16.

    Raises:
        DataError: no file, not a picture, or of another depth.
    """
    if not path.is_file():
        raise DataError(f"'{path}': no such file")
    mode = (
        cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
        if path.suffix.lower() in _TURNED
        else cv2.IMREAD_UNCHANGED
    )
    image = decode(path.read_bytes(), mode)
    if image is None:
        raise DataError(f"'{path}': cannot be read as a picture")
    if image.dtype not in _DEPTHS or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise DataError(
            f"'{path}': {image.shape} {image.dtype}; expected grey, colour or colour with "
            'transparency, of 8 or 16 bits'
        )
    return image


def enlarge(
    image: np.ndarray, function: Callable[[torch.Tensor], torch.Tensor], scale: int
) -> np.ndarray:
    """Enlarge a picture: colours by a network, transparency by bicubic interpolation.

    Args:
        image: (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16.
        function: (1, 3, h, w) -> (1, 3, scale · h, scale · w), RGB, [0, 1].
        scale: Factor.

    Returns:
        A picture of the same kind, scale times as high and as wide.
    """
    x = to_tensor(image)
    colours = x[:, :3] if x.shape[1] > 1 else x.expand(1, 3, *x.shape[2:])
    result = function(colours).float().cpu()
    if x.shape[1] == 1:
        result = result.mean(1, keepdim=True)
    if x.shape[1] == 4:
        result = torch.cat([result, resize_bicubic(x[:, 3:], scale)], 1)
    pixels = to_array(result, image.dtype)
    return pixels[..., 0] if image.ndim == 2 else pixels


def _target(path: Path, out: Path, scale: int) -> Path:
    return out / f'{path.stem}_x{scale}.png'


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
    """Enlarge files; see :func:`mtkd_basicsr.commands.upscale`."""
    used = device_of(device)
    network, scale = network_of(options_file, weights, safe)
    targets = [_target(path, out, scale) for path in paths]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice is not None:
        raise OptionError(
            f"two pictures would both become '{twice}'; enlarge them into two folders with "
            f'{spelled("out")}'
        )
    there = [str(target) for target in targets if target.exists()]
    if there and not overwrite:
        raise OptionError(
            f'{spelled("out")}: {", ".join(there[:3])} {"is" if len(there) == 1 else "are"} there '
            f'already; use another folder, or {spelled("overwrite")}'
        )
    net = build(network, 'network_g').eval().requires_grad_(False)
    load_weights(net, weights, spelled('weights'))
    check_scale(net, scale, 'network_g')
    net.to(used)

    def function(colours: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return run_tiled(
                lambda part: run_padded(net, part, size_multiple(net), scale),
                colours.to(used),
                scale,
                tile,
                tile_overlap,
            )

    wrong = []
    pairs = list(zip(paths, targets, strict=True))
    for path, target in progress(pairs, unit='picture', lines=False):
        try:
            result = enlarge(read_picture(path), function, scale)
        except DataError as error:
            wrong.append(str(error))
            continue
        make_folder(out)
        write_bytes(target, cv2.imencode('.png', result)[1].tobytes())
        say(f'{target}: {result.shape[1]}×{result.shape[0]}')
    if wrong:
        raise DataError(
            '\n'.join([f'{len(wrong)} of {len(paths)} pictures cannot be enlarged:', *wrong])
        )
    return targets
