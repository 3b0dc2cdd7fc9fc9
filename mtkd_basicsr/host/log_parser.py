"""What BasicSR's log of a training says: iterations, PSNR of validations, seconds before them.

The format of the log is known here alone.
"""

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

_LINE = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+: ?(.*)')
# BasicSR's line of progress, and not the one that says where a training goes on.
_ITERATION = re.compile(r'\[epoch:\s*\d+, iter:\s*([\d,]+)')
_START = re.compile(r'Start training from epoch: \d+, iter: (\d+)')
_RESUME = re.compile(r'Resuming training from epoch: \d+, iter: (\d+)')
_STEP = re.compile(r'time \(data\): (\d+\.\d+) \(')
_VALIDATION = 'Validation '
_END = 'End of training.'


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


def seconds_of_step(text: str) -> float | None:
    """Return the seconds of an iteration with its data, by the last line of a log that has them.

    Args:
        text: The log of a training.

    Returns:
        The mean over the iterations since the line before; None if no line has it.
    """
    found = _STEP.findall(text)
    return float(found[-1]) if found else None


@dataclass(frozen=True)
class _Validations:
    """When a training validates, and which value of it is the curve's.

    Attributes:
        freq: ``val.val_freq``.
        sets: Number of validation sets; each logs its values at every validation.
        total: ``train.total_iter``.
        value: Matches the line with the PSNR.
    """

    freq: float
    sets: int
    total: int
    value: re.Pattern[str]

    @classmethod
    def of(cls, opt: Mapping[str, Any]) -> '_Validations':
        val = opt.get('val') or {}
        # The names of metrics are free, and the curve is that of a PSNR.
        names = [
            name
            for name, metric in (val.get('metrics') or {}).items()
            if isinstance(metric, dict) and metric.get('type') == 'calculate_psnr'
        ]
        name = re.escape(names[0]) if names else 'psnr'
        return cls(
            val.get('val_freq') or 1,
            max(1, sum(phase.split('_')[0] == 'val' for phase in opt['datasets'])),
            int(opt['train']['total_iter']),
            re.compile(rf'\s*# {name}: ([\d.]+|inf)'),
        )

    def next(self, last: int, reached: int) -> int:
        """Return the iteration of a validation.

        Args:
            last: Iteration of the validation before it, or of the start.
            reached: Iteration that is known to be done.
        """
        iteration = max(last + 1, reached)
        while iteration % self.freq and iteration < self.total:
            iteration += 1
        return iteration


@dataclass
class _Mark:
    """A line of a log that says when an iteration was done.

    Attributes:
        iteration: The iteration.
        when: Time of the line; of a validation, the time of its end.
        validation: Whether the time before it includes a validation.
        psnr: PSNR of a validation on the first set, in dB.
    """

    iteration: int
    when: datetime
    validation: bool = False
    psnr: float | None = None


class _Reader:
    """Reads the log of one process, line by line.

    The line of a validation does not say its iteration. BasicSR validates at the multiples of
    ``val_freq`` and at the end; it may print its progress more often or less.

    Attributes:
        marks: The marks of each start of a training, in order.
    """

    def __init__(self, validations: _Validations) -> None:
        self.validations = validations
        self.marks: list[list[_Mark]] = []
        self._last = 0  # iteration of the last validation, or of the start
        self._logged = 0  # lines of validations since the start
        self._is_first_set = False
        self._ended = False

    def read(self, line: str) -> None:
        """Read a line."""
        match = _LINE.match(line)
        if match:
            when = datetime.strptime(match.group(1), '%Y-%m-%d %H:%M:%S,%f')
            self._dated(when, match.group(2))
        elif self.marks and (value := self.validations.value.match(line)):
            # The metrics are below the line that has the time.
            mark = self.marks[-1][-1]
            if mark.validation and self._is_first_set:
                mark.psnr = float(value.group(1))

    def _dated(self, when: datetime, text: str) -> None:
        if start := _START.search(text):
            self._last = int(start.group(1))
            self._logged = 0
            self._ended = False
            self.marks.append([_Mark(self._last, when)])
        elif not self.marks:
            return
        elif (iteration := progress_of(text)) is not None:
            self.marks[-1].append(_Mark(iteration, when))
        elif text.startswith(_END):
            self._ended = True
            self.marks[-1].append(_Mark(self.validations.total, when))
        elif text.startswith(_VALIDATION):
            self._validated(when)

    def _validated(self, when: datetime) -> None:
        marks = self.marks[-1]
        self._is_first_set = self._logged % self.validations.sets == 0
        self._logged += 1
        if not self._is_first_set:
            marks[-1].when = when
            return
        if self._ended:
            self._last = self.validations.total
        else:
            self._last = self.validations.next(self._last, marks[-1].iteration)
        marks.append(_Mark(self._last, when, validation=True))


def _durations(marks: list[_Mark]) -> Iterator[float]:
    """Yield the seconds of training between each mark and the next.

    When a validation began is not in the log: the iterations since the mark before it count as
    long as those after it, or else as those before it.
    """
    rates: list[float | None] = []
    for before, after in itertools.pairwise(marks):
        steps = after.iteration - before.iteration
        seconds = (after.when - before.when).total_seconds()
        rates.append(None if after.validation or steps <= 0 else seconds / steps)
    for i, (before, after) in enumerate(itertools.pairwise(marks)):
        steps = max(0, after.iteration - before.iteration)
        seconds = (after.when - before.when).total_seconds()
        known = [rate for rate in (rates[i:] + rates[:i][::-1]) if rate is not None]
        yield min(seconds, steps * known[0]) if steps and known else seconds * (steps > 0)


class _Course:
    """Seconds of training by iteration, and the curve of validations, over all processes.

    Validations do not count, nor what a stop has lost.
    """

    def __init__(self) -> None:
        self.iterations = [0]
        self.seconds = [0.0]
        self.curve: list[tuple[int, float, float]] = []

    def _seconds_at(self, iteration: int) -> float:
        last = self.iterations[-1]
        if iteration > last > 0:  # trained, but not printed before the stop
            return self.seconds[-1] * iteration / last
        return float(np.interp(iteration, self.iterations, self.seconds))

    def add(self, marks: list[_Mark]) -> None:
        """Add the marks of a process; the first is where it starts."""
        start = marks[0].iteration
        # What came after the checkpoint that a training resumes from is done again.
        kept = [i for i in self.iterations if i < start]
        seconds = self._seconds_at(start)
        self.iterations = [*kept, start]
        self.seconds = [*self.seconds[: len(kept)], seconds]
        self.curve = [point for point in self.curve if point[0] <= start]
        for mark, duration in zip(marks[1:], _durations(marks), strict=True):
            seconds += duration
            self.iterations.append(mark.iteration)
            self.seconds.append(seconds)
            is_new = not self.curve or self.curve[-1][0] < mark.iteration
            if mark.psnr is not None and is_new:
                self.curve.append((mark.iteration, round(seconds, 3), mark.psnr))


def read_training(
    experiment: str | os.PathLike[str], opt: Mapping[str, Any]
) -> tuple[list[tuple[int, float, float]], float]:
    """Read the course of a training out of all its logs.

    Args:
        experiment: Folder in ``experiments/``.
        opt: The options of the training.

    Returns:
        ``(curve, seconds)``: a list of (iteration, seconds of training before it, PSNR in dB) of
        the validations, on the first validation set; and all seconds of training. A training that
        was stopped and went on counts once.
    """
    validations = _Validations.of(opt)
    course = _Course()
    for path in sorted(Path(experiment).glob('train_*.log'), key=lambda p: p.name):
        reader = _Reader(validations)
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            reader.read(line)
        for marks in reader.marks:
            course.add(marks)
    return course.curve, round(course.seconds[-1], 3)
