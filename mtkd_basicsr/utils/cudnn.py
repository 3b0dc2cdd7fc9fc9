"""Flags of cuDNN for a while."""

from contextlib import AbstractContextManager
from typing import Any, cast

import torch


def cudnn_flags(**changes: bool) -> AbstractContextManager[None]:
    """Change flags of cuDNN within a block, and keep the others.

    ``torch.backends.cudnn.flags`` sets those that are left out to its own defaults, which switch
    cuDNN off.

    Args:
        **changes: ``enabled``, ``benchmark``, ``deterministic`` or ``allow_tf32``.
    """
    cudnn = torch.backends.cudnn
    flags: dict[str, Any] = {
        'enabled': cudnn.enabled,
        'benchmark': cudnn.benchmark,
        'deterministic': cudnn.deterministic,
        'allow_tf32': cudnn.allow_tf32,
    }
    return cast(AbstractContextManager[None], cudnn.flags(**{**flags, **changes}))
