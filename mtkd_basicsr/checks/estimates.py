"""What a training costs as a whole: sums of measured parts, and lines through measurements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_Size = TypeVar('_Size')
_HOUR = 3600


@dataclass(frozen=True)
class Part:
    """A part of the work that is done many times.

    Attributes:
        name: What is done, for example ``'steps'``.
        count: How often.
        unit: What is counted, for example ``'megapixels'``.
        seconds: Time of one.
        extrapolated: Whether the time is that of a smaller piece of work, scaled up.
    """

    name: str
    count: float
    unit: str
    seconds: float
    extrapolated: bool = False

    @property
    def total(self) -> float:
        """Return the time of all, in seconds."""
        return self.count * self.seconds

    def __str__(self) -> str:
        count = f'{self.count:,.0f}' if self.count >= 100 else f'{self.count:.3g}'
        note = ', extrapolated from less' if self.extrapolated else ''
        return (
            f'{self.name}: {count} {self.unit} of {self.seconds:.3g} s each are '
            f'{duration(self.total)}{note}'
        )


def duration(seconds: float) -> str:
    """Return a time as text, in hours, minutes or seconds."""
    if seconds >= _HOUR:
        return f'{seconds / _HOUR:,.1f} hours'
    return f'{seconds / 60:.1f} minutes' if seconds >= 60 else f'{seconds:.1f} s'


@dataclass(frozen=True)
class Bill:
    """The sum of the parts of a stage.

    Attributes:
        parts: What takes time.
        disk: Bytes that are written, by name.
    """

    parts: tuple[Part, ...] = ()
    disk: tuple[tuple[str, float], ...] = ()

    def __add__(self, other: 'Bill') -> 'Bill':
        return Bill(self.parts + other.parts, self.disk + other.disk)

    @property
    def seconds(self) -> float:
        """Return the time of all parts."""
        return sum(part.total for part in self.parts)

    @property
    def bytes(self) -> float:
        """Return the bytes of all that is written."""
        return sum(size for _, size in self.disk)

    def __str__(self) -> str:
        return f'{duration(self.seconds)} and {self.bytes / 1e9:,.1f} GB of disk'


def cache_bytes(pixels: float, images: int, scale: int, outputs: int) -> float:
    """Compute the size of a target cache, as :func:`~..data.cache.format.bytes_needed` does.

    Args:
        pixels: Pixels of all ground truths.
        images: Number of images.
        scale: Upscaling factor.
        outputs: Outputs of an image: 1 with a fused target, otherwise the number of teachers.
    """
    # Ground truth, low-resolution image and outputs, three bytes a pixel. LMDB stores each large
    # value in whole pages of 4096 bytes.
    return 3 * pixels * (1 + 1 / scale**2 + outputs) + 4096 * images * (outputs + 3)


@dataclass(frozen=True)
class Estimate(Generic[_Size]):
    """A quantity at a size, read off a line through measurements at smaller sizes.

    Attributes:
        value: The quantity.
        measured: The largest size that was measured.
        extrapolated: Whether that is not the size itself.
    """

    value: float
    measured: _Size
    extrapolated: bool


def on_line(points: Sequence[tuple[float, float]], amount: float) -> float:
    """Read a quantity off the line through the last two measurements.

    With one measurement, or where the last one is not larger than the one before, the quantity is
    taken to be proportional to the amount of work.

    Args:
        points: Amount of work and quantity, in ascending order; at least one.
        amount: The amount of work.
    """
    last, value = points[-1]
    if len(points) > 1:
        before, smaller = points[-2]
        if value > smaller:
            return value + (value - smaller) / (last - before) * (amount - last)
    return value * amount / last


def extrapolate(
    measure: Callable[[_Size], float], sizes: Sequence[tuple[float, _Size]], budget: float
) -> Estimate[_Size]:
    """Measure at growing sizes, as long as a measurement takes less than a budget.

    Args:
        measure: Measures the seconds of some work. It may fail for any size but the last.
        sizes: Amount of work and size, in ascending order. The last one is what is asked for.
        budget: Seconds that a measurement may be expected to take; the first is made anyway.

    Returns:
        The seconds of the last size: measured, or extrapolated in proportion to the amount of work.
    """
    points: list[tuple[float, float]] = []
    measured = sizes[0][1]
    for amount, size in sizes:
        if points and on_line(points, amount) > budget:
            break
        try:
            seconds = measure(size)
        except Exception:  # networks and losses may need a larger size, and raise any type
            if size == sizes[-1][1]:
                raise
            continue
        points.append((amount, seconds))
        measured = size
    extrapolated = len(points) < len(sizes)
    value = on_line(points, sizes[-1][0]) if extrapolated else points[-1][1]
    return Estimate(value, measured, extrapolated)
