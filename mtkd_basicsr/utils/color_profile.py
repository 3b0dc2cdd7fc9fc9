"""ICC profiles of pictures: their names, and whether they are sRGB under any name."""

import functools
import io
import itertools

import numpy as np
from PIL import Image, ImageCms

# Values of a channel that are compared, and how much they may differ, of 255: profiles for sRGB
# round their tables in different ways.
_STEPS = (0, 32, 64, 96, 128, 160, 192, 224, 255)
_TOLERANCE = 3


def profile_name(profile: bytes) -> str:
    """Return the description of an ICC profile, ``'Display P3'`` for example."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.getProfileDescription(opened).strip() or 'without a name'
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
        return 'unreadable'


@functools.lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """Return whether an ICC profile has the colours of sRGB, as they differ by name and version.

    Args:
        profile: Of grey or RGB.

    Returns:
        False for a profile that cannot be read.
    """
    grid = np.array(list(itertools.product(_STEPS, repeat=3)), np.uint8)[None]
    for values in (grid, np.array([_STEPS], np.uint8)):
        colours = Image.fromarray(values)
        try:
            result = ImageCms.profileToProfile(
                colours,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile('sRGB'),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode='RGB',
            )
        except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
            continue  # a profile for grey
        difference = np.asarray(result, np.int16) - np.asarray(colours.convert('RGB'), np.int16)
        return bool(np.abs(difference).max() <= _TOLERANCE)
    return False
