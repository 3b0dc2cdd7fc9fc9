"""How the pixels of an image lie in a cache, and cutting a part out of them.

In format 1 an image is stored row by row. In format 2 it is stored in strips of 64 columns and all
rows, one after the other, each row by row; the last one may be narrower. The size is the same. A
patch of 192×192 pixels of an image of 2040 columns lies in 192 places of the file in the first
case, on as many pages or more, and in 3 or 4 places on about 40 pages in the second.
"""

import mmap

import numpy as np

# Columns of a strip.
_STRIP = 64
# Not on Windows.
_ASK = getattr(mmap, 'MADV_WILLNEED', None)


def to_stored(image: np.ndarray, cache_format: int) -> np.ndarray:
    """Return the pixels of an image in the order of a format of caches.

    Args:
        image: (h, w, 3), uint8.
        cache_format: 1 or 2.

    Returns:
        (h · w · 3), contiguous.
    """
    if cache_format == 1:
        return np.ascontiguousarray(image).reshape(-1)
    strips = [image[:, x : x + _STRIP].reshape(-1) for x in range(0, image.shape[1], _STRIP)]
    return np.concatenate(strips)


class StoredImage:
    """An image in a memory map, of which parts can be cut without reading the rest.

    It has a ``shape`` and is cut like an array, ``image[top:bottom, left:right]``, which is all
    that BasicSR's ``paired_random_crop`` asks for.

    Args:
        buffer: The map, or a value of the LMDB.
        offset: Where the pixels begin in it, in bytes.
        shape: (h, w, 3).
        cache_format: 1 or 2; see :func:`to_stored`.
    """

    def __init__(
        self,
        buffer: mmap.mmap | memoryview,
        offset: int,
        shape: tuple[int, int, int],
        cache_format: int,
    ) -> None:
        self.shape = shape
        self._buffer = buffer
        self._offset = offset
        self._strip = shape[1] if cache_format == 1 else _STRIP

    def whole(self) -> np.ndarray:
        """Return the image, (h, w, 3), read-only; a view where its rows are stored as such."""
        height, width, channels = self.shape
        if self._strip >= width:
            return np.ndarray(self.shape, np.uint8, self._buffer, self._offset)
        image = self[0:height, 0:width]
        image.setflags(write=False)
        return image

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        """Cut a part: slices of rows and columns inside of the image, without steps.

        Returns:
            (rows, columns, 3), BGR, uint8; a view of the map, or a copy.
        """
        rows, columns = key[:2]
        height, width, channels = self.shape
        count = rows.stop - rows.start
        first = columns.start // self._strip * self._strip
        strips = []
        for start in range(first, columns.stop, self._strip):
            size = min(self._strip, width - start)
            offset = self._offset + (start * height + rows.start * size) * channels
            self._ask_for(offset, count * size * channels)
            strips.append(
                (start, np.ndarray((count, size, channels), np.uint8, self._buffer, offset))
            )
        if len(strips) == 1:
            return strips[0][1][:, columns.start - first : columns.stop - first]
        result = np.empty((count, columns.stop - columns.start, channels), np.uint8)
        for start, strip in strips:
            left = max(start, columns.start)
            right = min(start + strip.shape[1], columns.stop)
            part = strip[:, left - start : right - start]
            result[:, left - columns.start : right - columns.start] = part
        return result

    def _ask_for(self, offset: int, size: int) -> None:
        """Have the system read all pages of a part at once, instead of each when it is touched."""
        if isinstance(self._buffer, mmap.mmap) and _ASK is not None:
            start = offset // mmap.PAGESIZE * mmap.PAGESIZE
            self._buffer.madvise(_ASK, start, offset + size - start)
