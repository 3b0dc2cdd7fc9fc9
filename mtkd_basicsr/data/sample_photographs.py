"""The photographs of the demo, in high and low resolution, in BasicSR's folders."""

import os
import shutil
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from ..host.resize import resize_image

# The two never share a scene. All of them come inside the package of scikit-image; nothing is
# downloaded.
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
# Training images are cut, because BasicSR decodes a whole file for each patch.
_SUB_IMAGE = 160
_TEST_TILE = 120
# sub-images with a smaller standard deviation, of 255, are left out: black sky teaches nothing
_FLAT = 10


def load(name: str) -> np.ndarray:
    """Load a photograph of scikit-image by its name there.

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
    """Reduce an image by MATLAB-like bicubic interpolation, as the benchmarks of the field do.

    Args:
        image: (scale · h, scale · w, 3), uint8.
        scale: Factor.

    Returns:
        (h, w, 3), uint8.
    """
    return resize_image(image, 1 / scale)


def _tiles(image: np.ndarray, size: int) -> Iterator[np.ndarray]:
    h, w = image.shape[:2]
    for y in range(0, h - size + 1, size):
        for x in range(0, w - size + 1, size):
            tile = image[y : y + size, x : x + size]
            if tile.std() > _FLAT:
                yield tile


def _write(folder: str, name: str, image: np.ndarray, scale: int) -> None:
    h, w = (n // scale * scale for n in image.shape[:2])
    image = image[:h, :w, ::-1]
    for kind, pixels in (('GT', image), (f'LRbicx{scale}', low_resolution(image, scale))):
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
        cv2.imwrite(os.path.join(folder, kind, f'{name}.png'), pixels)


def prepare(folder: str | os.PathLike[str], scale: int, tiles: bool = False) -> None:
    """Write ``train/`` and ``val/`` unless they exist, each with ``GT/`` and ``LRbicx<scale>/``.

    Args:
        folder: Where they go.
        scale: Factor between high and low resolution.
        tiles: Whether to write ``val_tiles/`` too, the validation photographs in tiles: enough of
            them for a test of significance.
    """
    splits: list[tuple[str, tuple[str, ...]]] = [('train', TRAIN), ('val', VALIDATION)]
    if tiles:
        splits.append(('val_tiles', VALIDATION))
    for split, names in splits:
        target = os.path.join(folder, split)
        if os.path.isdir(target):
            continue
        # A folder: utils/atomic.py replaces files.
        temporary = target + '.tmp'
        shutil.rmtree(temporary, ignore_errors=True)
        for name in names:
            image = load(name)
            parts: Iterable[np.ndarray]
            if split == 'val':
                parts = [image]
            else:
                parts = _tiles(image, _SUB_IMAGE if split == 'train' else _TEST_TILE)
            for i, part in enumerate(parts):
                _write(temporary, name if split == 'val' else f'{name}_s{i:03d}', part, scale)
        os.rename(temporary, target)
