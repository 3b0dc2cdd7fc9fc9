"""Random number generators of a training: saved with its state, and seeded anew at each step."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy and torch.

    They consist of lists, numbers and tensors, which can be read without executing anything.

    Returns:
        ``python``, ``numpy``, ``torch``, and ``cuda`` if a GPU is in use.
    """
    version, numbers, gauss = random.getstate()
    numpy_state = cast(tuple[str, np.ndarray, int, int, float], np.random.get_state())
    kind, keys, position, has_gauss, cached = numpy_state
    state = {
        'python': [version, list(numbers), gauss],
        'numpy': [str(kind), keys.tolist(), position, has_gauss, cached],
        'torch': torch.get_rng_state(),
    }
    # A training on the CPU leaves the GPUs of the machine alone: asking for their state would
    # occupy one.
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`random_state` returned.

    Args:
        state: States of this or an earlier process.
    """
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Restore the generators at the end of the block, whatever it draws."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def seed_of(seed: int, rank: int, iteration: int, use: str) -> int:
    """Compute a seed that depends on all of the arguments.

    Args:
        seed: ``manual_seed``.
        rank: Rank of the process.
        iteration: Iteration of the training.
        use: Purpose of the numbers: different purposes draw different ones.

    Returns:
        A number of 32 bits, all that a generator of torch on the CPU takes.
    """
    return random.Random(f'{seed} {rank} {iteration} {use}').getrandbits(32)
