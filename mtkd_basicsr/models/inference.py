"""Running a network on images of many sizes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from ..utils.cudnn import cudnn_flags


@contextmanager
def eager_inference() -> Iterator[None]:
    """Neither compile a network nor choose convolutions anew for each size of an image.

    A training does both for its one size of patches. Validation images have many: each would cost a
    compilation, or seconds of trials of cuDNN, for a single use.
    """
    with ExitStack() as stack:
        stack.enter_context(cudnn_flags(benchmark=False))
        if hasattr(torch.compiler, 'set_stance'):  # torch < 2.6 compiles
            stack.enter_context(torch.compiler.set_stance('force_eager'))
        yield
