"""What checkpoints record about themselves."""

import json
from collections.abc import Mapping
from typing import Any

# What a checkpoint records about its network or its teachers is stored under this key, beside
# BasicSR's 'params'.
METADATA = 'mtkd'

_TYPES = {'network': dict, 'scale': int, 'teachers': list, 'version': str}
# In files whose metadata are texts: distinguishes ours from those of other programs.
_VERSION = 'mtkd_basicsr'
# Inputs and outputs of all networks.
_IMAGES = {'color_order': 'RGB', 'value_range': '[0, 1]'}


def invalid_entry(metadata: Any) -> str | None:
    """Return the first entry of a checkpoint's metadata that has the wrong type, if there is one.

    Args:
        metadata: What stands under :data:`METADATA`.

    Returns:
        ``'mtkd'`` for the whole, ``'mtkd.scale'`` for an entry; None if all are valid.
    """
    if not isinstance(metadata, dict):
        return METADATA
    for name, expected in _TYPES.items():
        if name in metadata and not isinstance(metadata[name], expected):
            return f'{METADATA}.{name}'
    if not all(isinstance(name, str) for name in metadata.get('teachers', [])):
        return f'{METADATA}.teachers'
    return None


def metadata_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Convert the metadata of a checkpoint for file formats whose metadata are texts.

    Args:
        metadata: ``network`` (block of the option file), ``scale``, ``version``.

    Returns:
        ``network`` as JSON, ``scale``, ``mtkd_basicsr``: the version; and what every network here
        maps to what, for readers of other programs: ``color_order``, ``value_range``.
    """
    return {
        **_IMAGES,
        'network': json.dumps(metadata['network']),
        'scale': str(metadata['scale']),
        _VERSION: metadata['version'],
    }


def metadata_of_texts(texts: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Undo :func:`metadata_texts`; None if there are no texts, or only those of another program."""
    if not texts or _VERSION not in texts:
        return None
    return {
        'network': json.loads(texts['network']),
        'scale': int(texts['scale']),
        'version': texts[_VERSION],
    }
