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
