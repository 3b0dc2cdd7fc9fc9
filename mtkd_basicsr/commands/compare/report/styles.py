"""Colours and lines of methods, the same in all figures of this project."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# The colour-blind safe palette of Okabe and Ito for the methods that are compared most, then
# colours that are farthest from these. MTKD has the warmest one.
_COLOURS = {
    'scratch': '#000000',
    'logitkd': '#0072b2',
    'at': '#e69f00',
    'fakd': '#009e73',
    'dukd': '#56b4e9',
    'crosskd': '#cc79a7',
    'dckd': '#8a8a00',
    'fitnet': '#999999',
    'rkd': '#7b4fa3',
    'mtkd': '#d55e00',
}
# For other names, before the colours that no method of the figure has.
_FURTHER = ('#882255', '#44aa99', '#332288', '#8c5a2b', '#b0a25a')
# Never the colour of anything else.
_RESERVED = ('scratch', 'mtkd')

_LINES: tuple['str | tuple[int, tuple[int, ...]]', ...] = (
    '-',
    '--',
    '-.',
    ':',
    (0, (8, 2)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 3)),
    (0, (8, 2, 2, 2)),
)
_WIDTH = 1.4
_EMPHASIZED = 2.6

# A suffix that says how many times the usual iterations a training has, as in MTKD+3.5x.
_ITERATIONS = re.compile(r'\+(\d+(?:\.\d+)?)x$')


@dataclass(frozen=True)
class Style:
    """How a method is drawn.

    Attributes:
        colour: As matplotlib takes it.
        line: Line style of a curve, as matplotlib takes it.
        width: Width of a curve in points.
    """

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    width: float


def base_name(method: str) -> str:
    """Return the name of a method without the suffix of its iterations: MTKD for MTKD+3.5x."""
    return _ITERATIONS.sub('', method)


def _family(method: str) -> str | None:
    """Return which known method a name begins with, in lower case; None for any other name."""
    first = re.split('[+-]', method)[0].lower()
    return first if first in _COLOURS else None


def _rank(method: str) -> tuple[bool, float]:
    """Order the names of one family: itself before its variants, the longest training first."""
    found = _ITERATIONS.search(method)
    return '+' in base_name(method) or '-' in method, -float(found[1]) if found else -1.0


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """Return the style of each method.

    A known method has its own colour in all figures, and so has what its name begins, such as
    ``MTKD+3.5x`` or ``MTKD+FAKD``. Those of one colour differ in their lines. Other names have the
    remaining colours, in their order.

    Args:
        methods: The methods of a figure.

    Returns:
        Method -> style, in the order of the methods.
    """
    methods = list(methods)
    families: dict[str, list[str]] = {}
    others = []
    for method in methods:
        family = _family(method)
        if family is None:
            others.append(method)
        else:
            families.setdefault(family, []).append(method)
    styles = {}
    for family, names in families.items():
        for i, method in enumerate(sorted(names, key=_rank)):
            width = _EMPHASIZED if family == 'mtkd' and i == 0 else _WIDTH
            styles[method] = Style(_COLOURS[family], _LINES[i % len(_LINES)], width)
    taken = {*families, *_RESERVED}
    free = [*_FURTHER, *(colour for name, colour in _COLOURS.items() if name not in taken)]
    for i, method in enumerate(others):
        cycle, position = divmod(i, len(free))
        styles[method] = Style(free[position], _LINES[cycle % len(_LINES)], _WIDTH)
    return {method: styles[method] for method in methods}
