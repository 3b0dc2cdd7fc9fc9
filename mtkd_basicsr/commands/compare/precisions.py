"""Precisions in words, and rows of a report that mix several."""

from typing import Protocol

# Mark after the name of a row that mixes precisions.
MARK = ' †'


class _Row(Protocol):
    # The part of a Cell that is needed here; its module imports this one.
    seeds: list[int]
    precisions: list[dict[str, str]]


def in_words(precision: dict[str, str]) -> str:
    """Return a text such as ``'student bf16, teachers fp32'``."""
    return ', '.join(f'{name} {value}' for name, value in precision.items())


def _differ(one: dict[str, str], other: dict[str, str]) -> bool:
    # Old results record fewer names.
    return any(one[name] != other[name] for name in set(one) & set(other))


def mixed(cell: _Row, baseline: _Row | None) -> str:
    """Describe the precisions of a row that mixes several, or differs from the baseline.

    Args:
        cell: Cell of a method.
        baseline: Cell of the baseline; None if it is not finished.

    Returns:
        A description; empty if all values were computed in the same precision.
    """
    by_precision: dict[str, list[int]] = {}
    # strict=False: a cell may lack precisions.
    for seed, precision in zip(cell.seeds, cell.precisions, strict=False):
        by_precision.setdefault(in_words(precision), []).append(seed)
    if any(_differ(one, other) for one in cell.precisions for other in cell.precisions):
        parts = []
        for text, seeds in by_precision.items():
            parts.append(f'{text} (seed {", ".join(map(str, seeds))})')
        return '; '.join(parts)
    others = [] if baseline is None else baseline.precisions
    if not any(_differ(one, other) for one in cell.precisions for other in others):
        return ''
    base = '; '.join(dict.fromkeys(in_words(precision) for precision in others))
    return f'{"; ".join(by_precision)}, the baseline {base}'
