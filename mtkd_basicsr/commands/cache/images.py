"""Whether the images of a data set are those that its cache was made of."""

import os
import sys
from typing import TYPE_CHECKING

from ...data.cache.checksums import damaged_images, describe
from ...data.cache.format import array_names
from ...data.cache.key import Use
from ...data.cache.reader import CacheReader
from ...data.cache.sources import Extent, compare
from ...data.distill_dataset import matching_indices
from ...data.source_files import SourceFiles
from ...data.whole_images import build_paired_dataset
from ...errors import CacheError, DamagedCacheError

if TYPE_CHECKING:
    from ...config import DatasetConfig
    from ...data.cache.writer import CacheWriter
    from .request import CacheRequest


def changed_images(
    complete: CacheReader, request: 'CacheRequest', overwrite: bool
) -> dict[int, list[str]]:
    """Return the images that have other contents than in a complete cache.

    Args:
        complete: The cache, with the same key as the requested one.
        request: The requested cache.
        overwrite: Whether the targets of such images will be computed anew.

    Returns:
        Index of the image -> ``'lq'``, ``'gt'`` or both.

    Raises:
        CacheError: There are such images, without ``overwrite``.
    """
    index_of = {image.name: index for index, image in enumerate(request.images)}
    indices = {i: index_of[image.name] for i, image in enumerate(complete.key.images)}
    comparison = compare(complete, request.path, SourceFiles(request.dataset), indices)
    if comparison.changed and not overwrite:
        names = [image.name for image in complete.key.images]
        raise CacheError(
            f"'{request.path}' is a complete cache of other images: "
            f'{comparison.describe(names)}; compute their targets anew with --overwrite'
        )
    warning = comparison.describe_rest(request.path)
    if warning is not None and not overwrite:
        print(f'WARNING: {warning}', file=sys.stderr, flush=True)
    return comparison.changed


def refuse_changed_images(writer: 'CacheWriter', request: 'CacheRequest', overwrite: bool) -> None:
    """Compare the images of an unfinished cache with those of the data set.

    Args:
        writer: The open writer of the cache.
        request: The requested cache.
        overwrite: Whether to compute the targets of images with other contents again.

    Raises:
        CacheError: Some images have other contents now, without ``overwrite``.
    """
    done = {index: index for index in sorted(writer.done())}
    checksums = {index: writer.checksums(index) for index in done}
    files = SourceFiles(request.dataset)
    comparison = compare(writer, writer.partial, files, done, Extent.ALL)
    if not comparison.changed:
        return
    if not overwrite:
        raise CacheError(
            f"an unfinished cache of other images exists at '{writer.partial}': "
            f'{comparison.describe([image.name for image in request.images])}; finish it with '
            'those, or compute their targets anew with --overwrite'
        )
    writer.forget({index: checksums[index] for index in comparison.changed})


def verify(path: str, images: 'DatasetConfig', scale: int) -> None:
    """Compare a complete cache with its checksums, and with the images of the data set.

    Args:
        path: The cache.
        images: The data set of the training.
        scale: Upscaling factor.

    Raises:
        CacheError: This version cannot read the cache, or it was made of other images.
        DamagedCacheError: The cache is damaged; names the images.
    """
    reader = CacheReader(path, readahead=True)
    differences = reader.key.differences(reader.key, Use.READ)
    if differences:
        raise CacheError(f"target cache '{path}' cannot be read: {'; '.join(differences)}")
    damaged = damaged_images(reader)
    if damaged:
        raise DamagedCacheError(
            f"target cache '{path}' is damaged: {describe(reader, damaged)}; "
            'recompute these images with mtkd cache -opt FILE --overwrite'
        )
    contents = f'{reader.key.contents} of {len(reader.key.images)} images'
    print(f"'{path}' is complete and matches its checksums: {contents}")
    roots = [images.options[f'dataroot_{kind}'] for kind in ('gt', 'lq')]
    missing = [root for root in roots if not os.path.exists(root)]
    if missing:
        print(f"its images are not on this machine, and were not compared: no '{missing[0]}'")
        return
    dataset = build_paired_dataset(dict(images.options), images.key)
    matching_indices(reader, dataset, roots[0], scale, Extent.DECODED)
    print('the images of datasets.train are those that it was made of')


def copy_intact_images(
    writer: 'CacheWriter', cache: CacheReader, redone: dict[int, list[str]], share: set[int]
) -> None:
    """Copy the other images of a share from a cache made with the same options."""
    names = array_names(cache.key)
    for index in share - set(redone) - writer.done():
        notes = cache.sources(index)
        tile = notes.pop('tile', [None])[0]
        # The writer adds the last value of a note, the checksum of the image.
        sources = {kind: note[:-1] for kind, note in notes.items()}
        writer.put(index, {name: cache.array(index, name) for name in names}, sources, tile)
    writer.flush()
