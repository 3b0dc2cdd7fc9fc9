"""The photographs of the demo, in high and low resolution, in BasicSR's folder layout."""

import os
import shutil
from collections.abc import Iterator

import cv2
import numpy as np

from ..host.resize import resize_image

# Training and validation photographs share no scene. All of them are part of the scikit-image
# package; nothing is downloaded.
TRAIN = (
    'motorcycle_left',
    'motorcycle_right',
    'rocket',
    'retina',
    'immunohistochemistry',
    'hubble_deep_field',
    'camera',
    'brick',
    'grass',
    'gravel',
    'coins',
    'moon',
)
VALIDATION = ('astronaut', 'chelsea', 'coffee')
# Training images are cut into sub-images, because BasicSR decodes a whole file for each patch.
_SUB_IMAGE = 160
_TEST_TILE = 120
# Tiles with a smaller standard deviation, in [0, 255], are skipped: a black sky is useless for
# training.
_MIN_DEVIATION = 10


def load(name: str) -> np.ndarray:
    """Load a photograph of scikit-image by its name.

    Args:
        name: One of ``TRAIN`` or ``VALIDATION``.

    Returns:
        (h, w, 3), RGB, uint8; grey photographs have three equal channels.
    """
    import skimage.data

    if name.startswith('motorcycle_'):
        image = skimage.data.stereo_motorcycle()[name.endswith('right')]
    else:
        image = getattr(skimage.data, name)()
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, 2)
    return np.ascontiguousarray(image[..., :3])


def low_resolution(image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce an image by MATLAB-like bicubic interpolation, as is usual in benchmarks.

    Args:
        image: (scale · h, scale · w, 3), uint8.
        scale: Upscaling factor.

    Returns:
        (h, w, 3), uint8.
    """
    return resize_image(image, 1 / scale)


def _tiles(image: np.ndarray, size: int) -> Iterator[np.ndarray]:
    h, w = image.shape[:2]
    for y in range(0, h - size + 1, size):
        for x in range(0, w - size + 1, size):
            tile = image[y : y + size, x : x + size]
            if tile.std() > _MIN_DEVIATION:
                yield tile


def _write(folder: str, name: str, image: np.ndarray, scale: int) -> None:
    h, w = (n // scale * scale for n in image.shape[:2])
    image = image[:h, :w, ::-1]
    for sub_folder, pixels in (('GT', image), (f'LRbicx{scale}', low_resolution(image, scale))):
        os.makedirs(os.path.join(folder, sub_folder), exist_ok=True)
        cv2.imwrite(os.path.join(folder, sub_folder, f'{name}.png'), pixels)


def prepare(folder: str | os.PathLike[str], scale: int, tiles: bool = False) -> None:
    """Write ``train/`` and ``val/`` unless they exist, each with ``GT/`` and ``LRbicx<scale>/``.

    Args:
        folder: Folder in which to write them.
        scale: Upscaling factor.
        tiles: Whether to also write ``val_tiles/``, the validation photographs in tiles, which are
            enough images for a significance test.
    """
    splits: list[tuple[str, tuple[str, ...]]] = [('train', TRAIN), ('val', VALIDATION)]
    if tiles:
        splits.append(('val_tiles', VALIDATION))
    for split, names in splits:
        target = os.path.join(folder, split)
        if os.path.isdir(target):
            continue
        # Not with utils/atomic.py, which replaces files, not folders.
        temporary = target + '.tmp'
        shutil.rmtree(temporary, ignore_errors=True)
        for name in names:
            image = load(name)
            if split == 'val':
                _write(temporary, name, image, scale)
                continue
            size = _SUB_IMAGE if split == 'train' else _TEST_TILE
            for i, tile in enumerate(_tiles(image, size)):
                _write(temporary, f'{name}_s{i:03d}', tile, scale)
        os.rename(temporary, target)
