"""Digests of the images of test sets, by which a result tells whether it was measured on others.

A test set has two digests. ``files`` is of the bytes of its files, which are read within a moment.
``pixels`` is of the decoded images: another program, or another version of it, may write the same
image as other bytes. Images are other ones if both digests are.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from ...config import DatasetConfig
from ...data.source_files import SourceFiles, Status
from ...errors import MTKDError

_KINDS = ('files', 'pixels')

# What was read before in this process, by kind, options of the test set, and status of its files.
_known: dict[tuple[str, str, tuple[Status, ...]], str] = {}


def digests_of(dataset: DatasetConfig) -> dict[str, str] | None:
    """Return the digests of a test set, as a result records them.

    Args:
        dataset: A ``PairedImageDataset``.

    Returns:
        ``files`` and ``pixels``, each of the high- and low-resolution images by name; None if an
        image cannot be read.
    """
    found = {}
    for kind in _KINDS:
        digest = _digest(dataset, kind)
        if digest is None:
            return None
        found[kind] = digest
    return found


def have_other_contents(recorded: Mapping[str, str] | None, dataset: DatasetConfig) -> bool:
    """Return whether the images of a test set are not those that a result was measured on.

    Args:
        recorded: Digests in the result; None if it has none, as of version 0.1.0.
        dataset: The test set.

    Returns:
        False also if this is not known: without recorded digests, or where the images cannot be
        read.
    """
    if not recorded:
        return False
    # The second one takes longer, and is needed only where the first one differs.
    for kind in _KINDS:
        digest = _digest(dataset, kind)
        if digest is None or digest == recorded.get(kind):
            return False
    return True


def _digest(dataset: DatasetConfig, kind: str) -> str | None:
    """Return a digest of a test set, read once for each version of its files."""
    # Here, because with it at the head the imports of a comparison would be a chain of ten files.
    from ...data.whole_images import build_paired_dataset

    try:
        files = SourceFiles(build_paired_dataset(dict(dataset.options), dataset.key))
        pairs = range(len(files.dataset.paths))
        status = tuple(files.status(i, image) for i in pairs for image in ('gt', 'lq'))
        key = kind, json.dumps(dict(dataset.options), default=str), status
        if key not in _known:
            _known[key] = _read(files, kind)
        return _known[key]
    except (MTKDError, OSError):
        return None


def _read(files: SourceFiles, kind: str) -> str:
    """Compute a digest of all pairs of a test set.

    Raises:
        DataError, OSError: A file cannot be read.
    """
    lines = []
    for i in range(len(files.dataset.paths)):
        values = []
        for image in ('gt', 'lq'):
            content = files.read(i, image)
            if kind == 'pixels':
                array = files.decode(i, image, content)
                values.append(f'{array.shape} {zlib.crc32(array.tobytes()):08x}')
            else:
                values.append(f'{len(content)} {zlib.crc32(content):08x}')
        lines.append(f'{Path(files.path(i, "gt")).stem}: {", ".join(values)}\n')
    return f'{zlib.crc32("".join(sorted(lines)).encode()):08x}'
