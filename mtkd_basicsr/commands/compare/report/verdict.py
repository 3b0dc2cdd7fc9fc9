"""The first sentences of a report: which method is best, by how much, and how certain that is."""

from collections.abc import Iterator, Mapping

from ....evaluation.statistics import gain
from ..results import Cell, Results, paired_psnr
from .differences import Difference, differences


def _certainty(difference: Difference | None, images: int) -> str:
    """Say whether a difference is significant; None is one that was not tested."""
    if difference is None:
        return 'not tested'
    if not difference.is_testable:
        if difference.images < images:
            return f'only {difference.images} of {images} images differ, too few for a test'
        return f'{images} images are too few for a test'
    p = f'p {difference.p:.2g}'
    return f'significant, {p}' if difference.is_significant else f'not significant, {p}'


def _distance(
    cells: dict[str, Cell],
    method: str,
    other: str,
    test_set: str,
    found: dict[tuple[str, str], Difference],
) -> str:
    """Return how far a method is above another one, as ``0.050 dB over FAKD (significant, …)``."""
    images = cells[method].values[test_set].shape[1]
    pair = paired_psnr(cells[method], cells[other], test_set)
    if pair is None:
        return f'no seed in common with {other}'
    tested = found.get((method, other)) or found.get((other, method))
    return f'{gain(*pair)[0]:.3f} dB over {other} ({_certainty(tested, images)})'


def _of_test_set(cells: dict[str, Cell], baseline: str, test_set: str) -> str:
    """Return who is best on one test set, without a full stop."""
    ranking = sorted(cells, key=lambda method: cells[method].summary(test_set)[0], reverse=True)
    best = ranking[0]
    if len(ranking) == 1:
        return f'only {best} is finished'
    seeds = [len(cells[method].seeds) for method in ranking]
    if seeds[0] < max(seeds):
        return f'{best} leads on {test_set} with {seeds[0]} of {max(seeds)} seeds, too few to tell'
    if len({tuple(sorted(cell.seeds)) for cell in cells.values()}) > 1:
        return f'{best} leads on {test_set}, but not all methods have its seeds, too few to tell'
    found = differences(cells, baseline, test_set)
    second = ranking[1]
    if best == baseline:
        distance = _distance(cells, best, second, test_set, found)
        return f'no method gains on {test_set}: {best}, the baseline, is best, {distance}'
    texts = []
    if baseline in cells:
        texts.append(_distance(cells, best, baseline, test_set, found))
    if second != baseline:
        texts.append(f'{_distance(cells, best, second, test_set, found)}, the second')
    return f'{best} is best on {test_set}, {" and ".join(texts)}'


def _below_bicubic(cells: dict[str, Cell], bicubic: Mapping[str, tuple[float, ...]]) -> list[str]:
    """Return the test sets on which no student reaches the PSNR of bicubic enlargement."""
    below = []
    for test_set, values in bicubic.items():
        if all(cell.summary(test_set)[0] < values[0] for cell in cells.values()):
            below.append(test_set)
    return below


def verdicts(results: Results) -> Iterator[str]:
    """Yield a sentence for each student and scale, and what limits all of them."""
    for student, scale, cells in results.groups():
        texts = [_of_test_set(cells, results.plan.baseline, name) for name in results.plan.test]
        yield f'{student} ×{scale}: {"; ".join(dict.fromkeys(texts))}.'
        bicubic = results.references.get(scale, {}).get('bicubic', {})
        # Results may have test sets that the plan no longer has.
        bicubic = {name: bicubic[name] for name in results.plan.test if name in bicubic}
        below = _below_bicubic(cells, bicubic)
        if below:
            yield (
                f'{student} ×{scale}: all students are below bicubic enlargement on '
                f'{" and ".join(below)}: their trainings are too short to compare the methods.'
            )
    if not results.several_seeds:
        yield (
            'One seed of each method: another seed may turn a small difference around, even one '
            'that is significant over images.'
        )
