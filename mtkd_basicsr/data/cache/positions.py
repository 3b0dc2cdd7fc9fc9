"""Where the large values of an LMDB lie in its file.

py-lmdb reads a byte of every page of a value that it is asked for, so that other threads need not
wait for the disk later (github.com/jnwatson/py-lmdb/issues/199). For a crop of an image this means
that the whole image is read: 17 MB instead of a few hundred kB, for each sample of a training. Who
knows the position of the image in the file can map the file, and touch what is needed.

Only the tree of keys is read here, which has a few pages for thousands of images. The layout of the
pages is that of ``lmdb.h`` and ``mdb.c``, data version 1, which all releases 0.9 of LMDB write:
pages begin with a header of 16 bytes (number, padding, flags, two bounds), and those of the tree go
on with 16-bit offsets of their nodes. A large value has pages of its own behind one such header.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_MAGIC = 0xBEEFC0DE
_DATA_VERSION = 1
_NO_PAGE = 0xFFFFFFFFFFFFFFFF
_HEADER = struct.Struct('<QHHHH')
# Magic number, version, address, size of the map; the records of two trees, each with page size,
# flags, depth, four counts and root; the last page, the transaction.
_META = struct.Struct('<IIQQ' + 'IHHQQQQQ' * 2 + 'QQ')
_NODE = struct.Struct('<HHHH')
# Flags of pages and of nodes.
_BRANCH = 0x01
_LEAF = 0x02
_LARGE = 0x01


class Position(NamedTuple):
    """Where a value lies in the file, in bytes."""

    offset: int
    size: int


def large_values(file: BinaryIO) -> dict[bytes, Position] | None:
    """Find all values of an LMDB that have pages of their own, by their keys.

    Args:
        file: The data file of the LMDB. It must not be written meanwhile.

    Returns:
        The positions; None if the file has another format than the one that is known here.
    """
    try:
        metas = []
        for offset in (0, _page_size(file)):
            file.seek(offset + _HEADER.size)
            metas.append(_META.unpack(file.read(_META.size)))
        # The one with the last transaction is valid.
        meta = max(metas, key=lambda values: values[-1])
        if any(values[:2] != (_MAGIC, _DATA_VERSION) for values in metas):
            return None
        *_, depth, _, _, _, _, root, _, _ = meta
        return {} if root == _NO_PAGE else dict(_walk(file, meta[4], root, depth))
    except (struct.error, ValueError):
        return None


def _page_size(file: BinaryIO) -> int:
    file.seek(_HEADER.size)
    return int(_META.unpack(file.read(_META.size))[4])


def _walk(
    file: BinaryIO, page_size: int, number: int, depth: int
) -> Iterator[tuple[bytes, Position]]:
    """Yield key and position of all large values below a page of the tree.

    Args:
        file: The data file.
        page_size: Of its pages, in bytes.
        number: Number of the page.
        depth: Number of levels of the tree from this page on.

    Raises:
        ValueError: It is no such page.
    """
    file.seek(number * page_size)
    page = file.read(page_size)
    found, _, flags, lower, _ = _HEADER.unpack_from(page)
    if found != number or not flags & (_BRANCH if depth > 1 else _LEAF):
        raise ValueError(f'page {number} does not belong to the tree')
    for (start,) in struct.iter_unpack('<H', page[_HEADER.size : lower]):
        low, high, node_flags, key_size = _NODE.unpack_from(page, start)
        if flags & _BRANCH:
            yield from _walk(file, page_size, low | high << 16 | node_flags << 32, depth - 1)
        elif node_flags & _LARGE:
            end = start + _NODE.size + key_size
            (first,) = struct.unpack_from('<Q', page, end)
            position = Position(first * page_size + _HEADER.size, low | high << 16)
            yield page[start + _NODE.size : end], position
