"""What BasicSR's log of a training says: PSNR of the validations, and how many seconds of training
came before.
"""

import re
from datetime import datetime
from pathlib import Path

_LINE = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+: ?(.*)')
# BasicSR's line of progress, and not the one that says where a training goes on.
_ITERATION = re.compile(r'\[epoch:\s*\d+, iter:\s*([\d,]+)')
_START = re.compile(r'Start training from epoch: \d+, iter: (\d+)')
_VALUE = re.compile(r'\s*# psnr: ([\d.]+|inf)')


class _Clock:
    """Seconds of training by iteration: validations and checkpoints do not count, nor what a stop
    has lost.
    """

    def __init__(self):
        self.seconds = {0: 0.0}
        self.curve = []
        self.last = None
        self.iteration = 0

    def start(self, when, iteration):
        # What came after the checkpoint that a training goes on from is done again.
        self.seconds = {i: s for i, s in self.seconds.items() if i <= iteration}
        self.curve = [point for point in self.curve if point[0] <= iteration]
        self.last = when
        self.iteration = iteration
        self.seconds.setdefault(iteration, self.seconds[max(self.seconds)])

    def step(self, when, iteration):
        self.seconds[iteration] = (
            self.seconds[max(self.seconds)] + (when - self.last).total_seconds()
        )
        self.last = when
        self.iteration = iteration

    def validated(self, when, value):
        if not self.curve or self.curve[-1][0] != self.iteration:
            self.curve.append((self.iteration, self.seconds[max(self.seconds)], value))
        self.last = when


def read_training(experiment):
    """The course of a training, out of all its logs.

    Args:
        experiment (Path): Folder in ``experiments/``.

    Returns:
        tuple: ``(curve, seconds)``: a list of (iteration, seconds of training before it, PSNR
            in dB) of the validations, on
        the first validation set; and all seconds of training. A training that was stopped and went
        on counts once.
    """
    clock = _Clock()
    for path in sorted(Path(experiment).glob('train_*.log'), key=lambda p: p.name):
        when = None
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            match = _LINE.match(line)
            if match:
                when = datetime.strptime(match.group(1), '%Y-%m-%d %H:%M:%S,%f')
                text = match.group(2)
                if _START.search(text):
                    clock.start(when, int(_START.search(text).group(1)))
                elif clock.last is not None and _ITERATION.search(text):
                    clock.step(when, int(_ITERATION.search(text).group(1).replace(',', '')))
            elif _VALUE.match(line) and clock.last is not None:
                # The metrics stand below the line that has the time.
                clock.validated(when, float(_VALUE.match(line).group(1)))
    return clock.curve, clock.seconds[max(clock.seconds)]
