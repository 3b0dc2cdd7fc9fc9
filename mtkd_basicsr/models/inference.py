"""Running a network on images of many sizes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def eager_inference() -> Iterator[None]:
    """Neither compile a network nor choose convolutions anew for each size of an image.

    A training does both for its one size of patches. Validation images have many: each would cost a
    compilation, or seconds of trials of cuDNN, for a single use.
    """
    cudnn = torch.backends.cudnn
    with ExitStack() as stack:
        stack.enter_context(
            cudnn.flags(
                enabled=cudnn.enabled,
                benchmark=False,
                deterministic=cudnn.deterministic,
                allow_tf32=cudnn.allow_tf32,
            )
        )
        if hasattr(torch.compiler, 'set_stance'):  # torch < 2.6 compiles
            stack.enter_context(torch.compiler.set_stance('force_eager'))
        yield
