"""The photographs that ``mtkd distill`` starts from."""

from pathlib import Path

from ...errors import DataError, OptionError
from ...utils.image_head import read_head
from ...utils.texts import listed
from .._validation import spelled
from ..prepare_data.sources import find_images, read_image

_LEAST = 3
_MAX_LISTED = 3


def check(folder: Path, side: int, scale: int, out: Path) -> int:
    """Check that all photographs can be read and are as large as a patch; return their number.

    Args:
        folder: Their folder.
        side: Side of a patch in ground-truth pixels.
        scale: Scale; photographs are cropped to a multiple of it.
        out: Output folder, which must not be the folder of the photographs.

    Raises:
        DataError: Some are damaged, transparent, of more than 8 bits, or too small, or there are
            too few.
        OptionError: The output folder is that of the photographs.
    """
    if folder.resolve() == out.resolve():
        raise OptionError(
            f"{spelled('out')}: '{out}'; expected another folder than that of the photographs"
        )
    paths = find_images(folder, out)
    if len(paths) < _LEAST:
        raise DataError(
            f"{spelled('folder')}: '{folder}' has {len(paths)} photographs; expected at least "
            f'{_LEAST}'
        )
    small = []
    unusable = []
    for path in paths:
        head = read_head(str(path), str(path))
        if not (head.opaque and head.eight_bits):
            try:
                read_image(path)
            except DataError as error:
                unusable.append(str(error))
        height, width = head.size
        if min(height, width) // scale * scale < side:
            small.append(f"'{path.name}' ({width}×{height})")
    if unusable:
        raise DataError(
            f"{spelled('folder')}: {len(unusable)} of {len(paths)} photographs in '{folder}' "
            f'cannot be used: {listed(unusable, _MAX_LISTED, "; ")}'
        )
    if small:
        raise DataError(
            f"{spelled('folder')}: {len(small)} of {len(paths)} photographs in '{folder}' are too "
            f'small: {listed(small, _MAX_LISTED)}; expected at least {side}×{side} pixels, the '
            'size of a patch'
        )
    return len(paths)


def kept_apart(count: int) -> int:
    """Return how many of a number of photographs are kept apart if nobody says it."""
    return max(1, min(8, count // 10))


def size_of(folder: Path) -> tuple[int, int]:
    """Return how many images a folder of PNG files has, and their pixels."""
    sizes = [read_head(str(path), str(path)).size for path in sorted(folder.glob('*.png'))]
    return len(sizes), sum(height * width for height, width in sizes)
