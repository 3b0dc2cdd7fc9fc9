"""Random numbers of a training: kept with its state, and drawn anew at each step."""

import contextlib
import random

import numpy as np
import torch


def random_state():
    """States of the generators of Python, NumPy and torch: lists, numbers and tensors, which can be
    read without executing anything.

    Returns:
        dict: ``python``, ``numpy``, ``torch``; ``cuda`` where there is a device.
    """
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        'python': [version, list(numbers), gauss],
        'numpy': [str(kind), keys.tolist(), position, has_gauss, cached],
        'torch': torch.get_rng_state(),
    }
    return {**state, 'cuda': torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def set_random_state(state):
    """Brings back what :func:`random_state` gave.

    Args:
        state (dict): Of this or an earlier process.
    """
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextlib.contextmanager
def unchanged():
    """What is drawn inside leaves the generators as they were."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def seed_of(seed, rank, iteration, use):
    """A number of 32 bits, which are all that a generator of torch's on the CPU takes, with all of
    the arguments in it.

    Args:
        seed (int): ``manual_seed``.
        rank (int): Of the process.
        iteration (int): Of the training.
        use (str): What it is for: different uses draw different numbers.
    """
    return random.Random(f'{seed} {rank} {iteration} {use}').getrandbits(32)
