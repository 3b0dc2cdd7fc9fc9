"""How far a long task is: a bar on a terminal, a few whole lines where the output is a file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

# Seconds between two lines in a log, and which part of the time so far if that is longer: three
# hours make a hundred lines.
_INTERVAL = 10.0
_PART = 0.05


def on_terminal() -> bool:
    """Return whether a person looks at the output, rather than a log file."""
    return sys.stderr is not None and sys.stderr.isatty()


class _Lines:
    """Stands in for a bar of tqdm where there is no terminal: whole lines, no carriage returns."""

    def __init__(
        self,
        iterable: Iterable[Any] | None,
        total: int | None,
        initial: int,
        unit: str,
        desc: str,
        disable: bool,
    ) -> None:
        self.iterable = iterable
        self.total = total
        self.initial = initial
        self.unit = unit
        self.desc = desc
        self.disable = disable
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
        """Set what stands at the end of the next line."""
        self.postfix = text

    def update(self, n: int = 1) -> None:
        """Count ``n`` more; print a line if the last one is long enough ago."""
        self.n += n
        now = time.monotonic()
        if now - self.last >= max(_INTERVAL, _PART * (now - self.start)):
            self.last = now
            self._print(now)

    def close(self) -> None:
        """Print the last line, unless there was nothing to count, or it stands there already."""
        if self.n != self.initial and self.n != self.printed:
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
            parts.append(f'about {seconds / done * (self.total - self.n):,.0f} s more')
        if self.postfix:
            parts.append(self.postfix)
        what = ' '.join(word for word in (self.desc.strip(), f'({self.unit})') if word)
        print(f'{what}: {", ".join(parts)}', file=sys.stderr, flush=True)


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    unit: str = 'it',
    desc: str = '',
    disable: bool = False,
    lines: bool = True,
    **bar: Any,
) -> 'tqdm[Any] | _Lines':
    """Show how far a task is.

    It is used as ``tqdm`` is: iterated over, or as a context with ``update(n)``, and
    ``set_postfix_str(text)``.

    Args:
        iterable: What is gone through; None for ``update``.
        total: How many there are; None asks the iterable.
        initial: How many of them were done before.
        unit: What is counted.
        desc: What is being done.
        disable: Show nothing, for example in the second of two processes.
        lines: Whether there are lines where there is no terminal: at most one in ten
            seconds, and the last one.
        **bar: More for tqdm, on a terminal.

    Returns:
        The bar, or what prints lines in its place.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if on_terminal():
        return tqdm(
            iterable, total=total, initial=initial, unit=unit, desc=desc, disable=disable, **bar
        )
    return _Lines(iterable, total, initial, unit, desc, disable or not lines)


def say(text: str) -> None:
    """Print a line to the standard output, between the bars where there are some."""
    if on_terminal():
        tqdm.write(text)
    else:
        print(text, flush=True)
