"""Whether code runs or is compiled."""

import torch


def is_compiling() -> bool:
    """Return whether ``torch.compile`` or ``torch.export`` is tracing the caller.

    torch < 2.3 cannot tell: there it breaks its graph where code cannot be traced.
    """
    return hasattr(torch.compiler, 'is_compiling') and torch.compiler.is_compiling()
