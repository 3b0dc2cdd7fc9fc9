"""What BasicSR's log of a training says: iterations, PSNR of validations, seconds before them.

The format of the log is known here alone.
"""

import os
import re
from datetime import datetime
from pathlib import Path

_LINE = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+: ?(.*)')
# BasicSR's line of progress, and not the one that says where a training goes on.
_ITERATION = re.compile(r'\[epoch:\s*\d+, iter:\s*([\d,]+)')
_START = re.compile(r'Start training from epoch: \d+, iter: (\d+)')
_RESUME = re.compile(r'Resuming training from epoch: \d+, iter: (\d+)')
_VALUE = re.compile(r'\s*# psnr: ([\d.]+|inf)')


def progress_of(text: str) -> int | None:
    """Return the iteration of a line of progress, None for any other line."""
    match = _ITERATION.search(text)
    return None if match is None else int(match.group(1).replace(',', ''))


def resumed_at(line: str) -> int | None:
    """Return the iteration of the training state that a training resumes from.

    Args:
        line: Any line.

    Returns:
        The iteration; None where the line does not say.
    """
    match = _RESUME.search(line)
    return None if match is None else int(match.group(1))


def iteration_of(line: str) -> int | None:
    """Return how far a training is, by a line of its log or of what it prints.

    Args:
        line: Any line.

    Returns:
        The iteration that is done, or the one that the training begins with; None where the line
        does not say.
    """
    start = _START.search(line)
    return progress_of(line) if start is None else int(start.group(1))


class _Clock:
    """Seconds of training by iteration.

    Validations and checkpoints do not count, nor what a stop has lost.
    """

    def __init__(self) -> None:
        self.seconds = {0: 0.0}
        self.curve: list[tuple[int, float, float]] = []
        self.last: datetime | None = None
        self.iteration = 0

    def start(self, when: datetime, iteration: int) -> None:
        # What came after the checkpoint that a training goes on from is done again.
        self.seconds = {i: s for i, s in self.seconds.items() if i <= iteration}
        self.curve = [point for point in self.curve if point[0] <= iteration]
        self.last = when
        self.iteration = iteration
        self.seconds.setdefault(iteration, self.seconds[max(self.seconds)])

    def step(self, when: datetime, iteration: int) -> None:
        assert self.last is not None  # a training that has not started makes no steps
        self.seconds[iteration] = (
            self.seconds[max(self.seconds)] + (when - self.last).total_seconds()
        )
        self.last = when
        self.iteration = iteration

    def validated(self, when: datetime | None, value: float) -> None:
        if not self.curve or self.curve[-1][0] != self.iteration:
            self.curve.append((self.iteration, self.seconds[max(self.seconds)], value))
        self.last = when


def read_training(
    experiment: str | os.PathLike[str],
) -> tuple[list[tuple[int, float, float]], float]:
    """Read the course of a training out of all its logs.

    Args:
        experiment: Folder in ``experiments/``.

    Returns:
        ``(curve, seconds)``: a list of (iteration, seconds of training before it, PSNR in dB) of
        the validations, on the first validation set; and all seconds of training. A training that
        was stopped and went on counts once.
    """
    clock = _Clock()
    for path in sorted(Path(experiment).glob('train_*.log'), key=lambda p: p.name):
        when: datetime | None = None
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            match = _LINE.match(line)
            if match:
                when = datetime.strptime(match.group(1), '%Y-%m-%d %H:%M:%S,%f')
                text = match.group(2)
                if start := _START.search(text):
                    clock.start(when, int(start.group(1)))
                elif clock.last is not None and (iteration := progress_of(text)) is not None:
                    clock.step(when, iteration)
            elif (value := _VALUE.match(line)) and clock.last is not None:
                # The metrics stand below the line that has the time.
                clock.validated(when, float(value.group(1)))
    return clock.curve, clock.seconds[max(clock.seconds)]
