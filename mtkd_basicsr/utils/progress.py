"""Progress of a long task: a bar on a terminal, a few whole lines where the output is a file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

# Least seconds between two lines in a log, and least share of the time so far: three hours make a
# hundred lines.
_MIN_SECONDS = 10.0
_MIN_SHARE = 0.05


def on_terminal() -> bool:
    """Return whether the output goes to a terminal, rather than to a log file."""
    return sys.stderr is not None and sys.stderr.isatty()


class _Lines:
    """Replacement for a tqdm bar where there is no terminal: whole lines, no carriage returns."""

    def __init__(
        self,
        iterable: Iterable[Any] | None,
        total: int | None,
        initial: int,
        unit: str,
        desc: str,
        disable: bool,
        end: bool,
    ) -> None:
        self.iterable = iterable
        self.total = total
        self.initial = initial
        self.unit = unit
        self.desc = desc
        self.disable = disable
        self.end = end
        self.n = initial
        self.postfix = ''
        self.start = time.monotonic()
        self.last = self.start
        self.printed: int | None = None

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self.iterable:  # type: ignore[union-attr]  # None is for `update`
                yield item
                self.update()

    def __enter__(self) -> '_Lines':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def set_postfix_str(self, text: str) -> None:
        """Set the text at the end of the next line."""
        self.postfix = text

    def update(self, n: int = 1) -> None:
        """Count ``n`` more items; print a line if the last one is old enough."""
        self.n += n
        now = time.monotonic()
        if now - self.last >= max(_MIN_SECONDS, _MIN_SHARE * (now - self.start)):
            self.last = now
            self._print(now)

    def close(self) -> None:
        """Print a last line, unless nothing was counted or that line has been printed already."""
        if self.end and self.n != self.initial and self.n != self.printed:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        self.printed = self.n
        if self.disable:
            return
        seconds = now - self.start
        count = f'{self.n:,d}' if self.total is None else f'{self.n:,d} of {self.total:,d}'
        parts = [count, f'{seconds:,.0f} s']
        done = self.n - self.initial
        if self.total is not None and done > 0 and self.n < self.total:
            remaining = seconds / done * (self.total - self.n)
            parts.append(f'about {remaining:,.0f} s left')
        if self.postfix:
            parts.append(self.postfix)
        task = f'{self.desc.strip()} ({self.unit})'.strip()
        print(f'{task}: {", ".join(parts)}', file=sys.stderr, flush=True)


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    unit: str = 'it',
    desc: str = '',
    disable: bool = False,
    lines: bool = True,
    end: bool = True,
    **bar: Any,
) -> 'tqdm[Any] | _Lines':
    """Show the progress of a task.

    It is used like ``tqdm``: iterated over, or as a context manager with ``update(n)`` and
    ``set_postfix_str(text)``.

    Args:
        iterable: The items; None if ``update`` counts them.
        total: Number of items; None takes the length of the iterable.
        initial: Number of items that were done before.
        unit: Name of an item.
        desc: Name of the task.
        disable: Whether to show nothing, for example in the second of two processes.
        lines: Whether to print lines where there is no terminal: at most one in ten seconds, and a
            last one.
        end: Whether to print that last line.
        **bar: Further arguments of tqdm, on a terminal.

    Returns:
        The bar, or an object with the same methods that prints lines.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if on_terminal():
        return tqdm(
            iterable, total=total, initial=initial, unit=unit, desc=desc, disable=disable, **bar
        )
    return _Lines(iterable, total, initial, unit, desc, disable or not lines, end)


def say(text: str) -> None:
    """Print a line to the standard output, above the bars if there are any."""
    if on_terminal():
        tqdm.write(text)
    else:
        print(text, flush=True)
