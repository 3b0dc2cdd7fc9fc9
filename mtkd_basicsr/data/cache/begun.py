"""What a cache that is there, finished or not, was begun with."""

import json
import os
from collections.abc import Callable
from typing import Any

import lmdb

from ...errors import CacheError
from .format import CacheReader, data_file, id_of, missing_end, partial_path, state_of
from .manifest import image_differences, source_differences


def _id_of_unfinished(path: str) -> bytes | None:
    """Return the ``id`` of a cache that is not finished; None if it cannot be read."""
    file = data_file(partial_path(path))
    try:
        env = lmdb.open(file, subdir=False, readonly=True, lock=False)
    except lmdb.Error:
        return None
    try:
        if missing_end(env, os.path.getsize(file)):
            return None
        with env.begin() as txn:
            return txn.get(b'id')
    except lmdb.Error:
        return None
    finally:
        env.close()


def _is_of(cached: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Return whether two manifests agree in all but the version that wrote them."""
    names = [image[0] for image in wanted['images']]
    found = source_differences(cached, wanted) + image_differences(cached, names)
    return not found and cached['made_with'] == wanted['made_with']


def begun_with(path: str, manifest_in: Callable[[str], dict[str, Any]]) -> str | None:
    """Return the precision of an existing cache, if all else in it is what is asked for.

    Args:
        path: The LMDB.
        manifest_in: Gives the manifest that is asked for in a precision.

    Returns:
        ``'fp32'`` or ``'bf16'``; None where there is no cache, one of other options, or a damaged
        one.
    """
    wanted = {precision: manifest_in(precision) for precision in ('fp32', 'bf16')}
    state = state_of(path)
    if state == 'complete':
        try:
            cached = CacheReader(path, readahead=True).manifest
        except CacheError:
            return None
        return next((name for name, manifest in wanted.items() if _is_of(cached, manifest)), None)
    if state == 'none':
        return None
    found = _id_of_unfinished(path)
    texts = {name: json.dumps(manifest, sort_keys=True) for name, manifest in wanted.items()}
    return next((name for name, text in texts.items() if id_of(text.encode()) == found), None)
