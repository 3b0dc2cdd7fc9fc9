"""What checkpoints say about themselves."""

import json
from collections.abc import Mapping
from typing import Any

# What a checkpoint says about its network or its teachers stands under this key, beside BasicSR's
# 'params'.
METADATA = 'mtkd'

_VERSION = 'mtkd_basicsr'  # in files whose metadata are texts; tells ours from others'


def metadata_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Convert what a checkpoint says about itself for file formats whose metadata are texts.

    Args:
        metadata: ``network`` (block of the option file), ``scale``, ``version``.

    Returns:
        ``network`` as JSON, ``scale``, ``mtkd_basicsr``: the version.
    """
    return {
        'network': json.dumps(metadata['network']),
        'scale': str(metadata['scale']),
        _VERSION: metadata['version'],
    }


def metadata_of_texts(texts: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Undo :func:`metadata_texts`; None where there are no texts, or those of another program."""
    if not texts or _VERSION not in texts:
        return None
    return {
        'network': json.loads(texts['network']),
        'scale': int(texts['scale']),
        'version': texts[_VERSION],
    }
