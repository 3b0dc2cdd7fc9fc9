"""How much of an exponential moving average stays at each update."""


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """Return the share of the average that stays at an update.

    With warm-up it is ``min(decay, (1 + t) / (10 + t))`` at update t, counted from 0, as in
    TensorFlow's ``ExponentialMovingAverage(decay, num_updates)``: the first updates replace most of
    the average, which starts at random weights.

    Args:
        update: Number of updates before this one.
        decay: The final share, ``train.ema_decay``.
        warmup: Whether the first updates keep less.
    """
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


def share_of_start(updates: int, decay: float, warmup: bool) -> float:
    """Return how much of an average is still its start, from 1 (all of it) to 0.

    Args:
        updates: Number of updates so far.
        decay: See :func:`decay_at`.
        warmup: See :func:`decay_at`.
    """
    if not warmup:
        return decay**updates
    share = 1.0
    for update in range(updates):
        share *= decay_at(update, decay, warmup)
        if share < 1e-9:  # after some dozens of updates
            break
    return share
