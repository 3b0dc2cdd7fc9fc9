"""The report of a comparison."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ....config.plan import PlanOptions
from ....errors import DataError, MTKDError
from ....evaluation.measure import cost
from ....host.training_loop import weights_path
from ....utils.texts import listed
from ....weights.networks import build, is_inferred
from ....weights.reading import recorded_network
from ..collection import collect
from ..precisions import MARK
from ..results import Cell, Results
from ..runs import Run
from ..store import describe_machine
from . import tables
from .crops import crops, runs_to_show, why_no_crops
from .document import Block, Heading, Picture, Text, markdown, page
from .figures import bars, bars_caption, curves, curves_caption
from .spreadsheets import write_csv
from .timing import Timing
from .verdict import verdicts

_OUTPUT_SIZE = 320, 480  # height and width of the upscaled image that networks are timed with


def _measured_costs(
    results: Results, scale: int
) -> tuple[dict[str, dict[str, Any]], tuple[int, int]]:
    """Measure the cost of every student, teacher and fusion network of one scale.

    Returns:
        The costs by name; height and width of the input that they were measured with.
    """
    lq = torch.rand(1, 3, *(n // scale for n in _OUTPUT_SIZE))
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    measured = {}
    for name, network in _networks(results, scale).items():
        measured[name] = cost(build(network, 'network'), scale, lq, device)
    return measured, (lq.shape[-2], lq.shape[-1])


def _networks(results: Results, scale: int) -> dict[str, dict[str, Any]]:
    """Return the options of the networks of one scale by name."""
    networks: dict[str, dict[str, Any]] = {}
    for run in results.runs.values():
        if run.scale != scale or (run.student, scale, run.method) not in results.cells:
            continue
        student = run.options['network_g']
        # A method may change the network of the student.
        if networks.setdefault(f'student {run.student}', student) != student:
            networks[f'student {run.student}, {run.method}'] = student
        for name, teacher in (run.options.get('teachers') or {}).items():
            network = _network_of(teacher)
            # Spandrel cannot build one without its weights.
            if network is not None and not is_inferred(network):
                networks.setdefault(f'teacher {name}', network)
        if run.options.get('fusion'):
            network = _network_of(run.options['fusion'])
            if network is not None:
                networks.setdefault('fusion', network)
    return networks


def _network_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return the network of a teacher, or that which its weights record; None if unknown."""
    if entry.get('network') is not None:
        return entry['network']
    with contextlib.suppress(MTKDError):  # the weights may be gone
        return recorded_network(entry['weights'], 'weights')
    return None


def introduction(results: Results) -> Iterator[Block]:
    """Yield the title of a report, who is best, the conditions, and the runs that are missing."""
    plan = results.plan
    images = next(iter(results.cells.values())).names
    scales = ', '.join(f'×{scale}' for scale in plan.scales)
    seeds = ', '.join(map(str, plan.seeds))
    test_sets = ', '.join(f'{name} ({len(images[name])} images)' for name in plan.test)
    yield Heading(f'Comparison: {plan.name}', 1)
    yield from map(Text, verdicts(results))
    values = 'Values are means ± standard deviations over seeds. ' if results.several_seeds else ''
    yield Text(
        f'Scales {scales}; seeds {seeds}; test sets {test_sets}. PSNR (dB) and SSIM are measured '
        "on the Y channel with BasicSR's metrics, after cropping as many pixels from each border "
        f'as the scale. {values}For each seed, all methods have the same trainer, schedule, data '
        'order, initial weights and teachers.'
    )
    yield Text(
        f'Machines of the runs: {" | ".join(results.machines)}. Machine of this report: '
        f'{describe_machine()}.'
    )
    yield from other_starts(results)
    yield from mixed_precisions(results)
    if results.missing:
        names = listed(results.missing, 8)
        yield Text(f'NOT FINISHED, {len(results.missing)} of {len(results.runs)} runs: {names}.')


def other_starts(results: Results) -> Iterator[Block]:
    """Yield which methods do not start from random weights, if some of the plan do not."""
    methods: dict[str, None] = {}
    for run in results.runs.values():
        if run.kind == 'student' and run.config.pretrained_network is not None:
            methods[str(run.method)] = None
    if methods:
        names = ', '.join(methods)
        yield Text(
            f'These start from trained weights, with a schedule of their own: {names}. '
            'Their seconds and iterations are those from there on.'
        )


def mixed_precisions(results: Results) -> Iterator[Block]:
    """Yield a paragraph about the rows that mix precisions; nothing if there are none."""
    found = results.mixed()
    if found:
        rows = '; '.join(
            f'{student} ×{scale}, {method}: {text}'
            for (student, scale, method), text in found.items()
        )
        yield Text(
            f'MIXED PRECISIONS, marked{MARK}: {rows}. Differences there may come from the '
            'precision.'
        )


def seconds_that_do_not_compare(results: Results) -> Iterator[Block]:
    """Yield a paragraph that explains the marks of seconds; nothing if all seconds compare."""
    note = Timing.of(results).note
    if note:
        yield Text(note)


def _group(
    results: Results, student: str, scale: int, cells: dict[str, Cell], out: Path, folder: Path
) -> Iterator[Block]:
    yield Heading(f'{student} ×{scale}')
    yield tables.quality(results, student, scale, cells)
    yield Text(
        f'Gain: over {results.plan.baseline}, in dB, seed by seed. Validation: at the end of the '
        'training. Training: mean seconds of the iterations only, on the machine of the training; '
        'caches and trainings of teachers are listed at the end.'
    )
    yield from seconds_that_do_not_compare(results)
    published = tables.published_beside_ours(results, student, scale, cells)
    if published is not None:
        yield Heading('Published, other training', 3)
        yield Text(
            'Published figures for the same student, scale and test sets. Their data, schedules '
            'and teachers differ from ours, so that rows are not directly comparable.'
        )
        yield published
    for test_set in results.plan.test:
        yield Heading(f'{student} ×{scale}, {test_set}: row minus column', 3)
        yield tables.significance(results, cells, test_set)
    several = results.several_seeds
    yield Text(
        f'Mean difference of PSNR{" ± standard deviation over seeds" if several else ""}, and p of '
        f'the two-sided Wilcoxon signed-rank test over images'
        f'{" (averaged over seeds)" if several else ""}, with the Holm correction for the number '
        'of comparisons in the table.'
    )
    reason = tables.too_few_images(results, cells)
    if reason:
        yield Text(reason)
    path = folder / f'crops_{student}_x{scale}.png'
    for run in runs_to_show(results, student, scale):
        if not weights_path(out / 'experiments' / run.name).is_file():
            return  # the results were copied without the networks
    reason = why_no_crops(results, cells, scale, out)
    if reason:
        yield Text(f'No crops, for which the images of the test sets are needed: {reason}.')
        return
    seed = crops(results, student, scale, out, path)
    yield Picture(
        path,
        f'{student} ×{scale}: where the methods differ most from each other (seed {seed}), with '
        'the PSNR (RGB) of each crop.',
    )


def write(plan: PlanOptions, runs: list[Run], out: Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``summary.md``, two CSV files, and figures.

    Their folder is ``report/``, or ``report_NAME/`` for a plan with a base. ``summary.md`` is one
    table of all students.

    Args:
        plan: The plan.
        runs: Its runs; the report names the unfinished ones.
        out: Folder of the results.

    Returns:
        The files.

    Raises:
        DataError: No student is finished.
    """
    results = collect(plan, runs, out)
    folder = out / (f'report_{plan.name}' if plan.base else 'report')
    if not results.cells:
        raise DataError(f"'{out}': nothing to report; no student of the plan is finished")
    folder.mkdir(exist_ok=True)
    blocks = list(introduction(results))
    scales = list(dict.fromkeys(scale for _, scale, _ in results.groups()))
    summaries = [tables.summary(results, scale) for scale in scales]
    if bars(results, folder / 'gains.png'):
        blocks += [
            Heading('All methods'),
            *summaries,
            Picture(folder / 'gains.png', bars_caption(results)),
        ]
    curves(results, folder / 'curves.png')
    blocks.append(Picture(folder / 'curves.png', curves_caption(results)))
    for student, scale, cells in results.groups():
        blocks += _group(results, student, scale, cells, out, folder)
    blocks.append(Heading('Costs'))
    for scale in scales:
        measured, size = _measured_costs(results, scale)
        blocks += [
            tables.costs(measured),
            Text(
                f'×{scale}: time for an input of {size[1]}×{size[0]} pixels, median of five, on '
                'the machine of this report.'
            ),
        ]
    blocks += [tables.preparation(results), *seconds_that_do_not_compare(results)]
    texts = {
        folder / 'report.md': markdown(blocks),
        folder / 'report.html': page(blocks),
        folder / 'summary.md': markdown(summaries),
    }
    for path, text in texts.items():
        path.write_text(text, encoding='utf-8')
    return [*texts, *write_csv(results, folder)]
