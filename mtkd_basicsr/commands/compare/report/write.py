"""The report of a comparison."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ....config.plan import PlanOptions
from ....errors import DataError
from ....evaluation.measure import cost, weights_path
from ....weights.networks import SPANDREL, build
from ..precisions import MARK
from ..results import Cell, Results, collect
from ..runs import Run
from ..store import describe_machine
from . import tables
from .crops import crops, shown
from .document import Block, Heading, Picture, Text, markdown, page
from .figures import BARS, CURVES, bars, curves
from .spreadsheets import write_csv

_SIZE = 320, 480  # of the enlarged image that networks are timed on


def _measured_costs(
    results: Results, scale: int
) -> tuple[dict[str, dict[str, Any]], tuple[int, int]]:
    """Measure the cost of every student, teacher and fusion network of one scale.

    Returns:
        The costs by name; height and width of the image that they were timed on.
    """
    networks: dict[str, dict[str, Any]] = {}
    lq = torch.rand(1, 3, *(n // scale for n in _SIZE))
    for run in results.runs.values():
        if run.scale == scale and (run.student, scale, run.method) in results.cells:
            network = run.options['network_g']
            # the method has another one
            if networks.setdefault(f'student {run.student}', network) != network:
                networks[f'student {run.student}, {run.method}'] = network
            for name, teacher in (run.options.get('teachers') or {}).items():
                if teacher['network']['type'] != SPANDREL:  # which is built with its weights alone
                    networks.setdefault(f'teacher {name}', teacher['network'])
            if run.options.get('fusion'):
                networks.setdefault('fusion', run.options['fusion']['network'])
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    measured = {
        name: cost(build(network, 'network'), scale, lq, device)
        for name, network in networks.items()
    }
    return measured, (lq.shape[-2], lq.shape[-1])


def introduction(results: Results) -> Iterator[Block]:
    plan = results.plan
    images = next(iter(results.cells.values())).names
    yield Heading(f'Comparison: {plan.name}', 1)
    yield Text(
        f'Scales {", ".join(f"×{s}" for s in plan.scales)}; seeds '
        f'{", ".join(map(str, plan.seeds))}; '
        f'test sets {", ".join(f"{name} ({len(images[name])} images)" for name in plan.test)}. '
        'PSNR (dB) and SSIM on the Y '
        "channel, with as many pixels cut from each border as the scale, by BasicSR's metrics. "
        'Values are means ± standard '
        'deviations over seeds. All methods have the same trainer, schedule, data order, first '
        'weights and teachers for each '
        'seed.'
    )
    yield Text(
        f'Done on: {" | ".join(results.machines)}. This report was made on: {describe_machine()}.'
    )
    yield from mixed_precisions(results)
    if results.missing:
        more = f' and {len(results.missing) - 8} more' if len(results.missing) > 8 else ''
        yield Text(
            f'NOT FINISHED, {len(results.missing)} of {len(results.runs)} runs: '
            f'{", ".join(results.missing[:8])}{more}.'
        )


def mixed_precisions(results: Results) -> Iterator[Block]:
    """Yield a paragraph that names the rows whose values do not compare like with like.

    Yields nothing where there are none.
    """
    found = results.mixed()
    if found:
        rows = '; '.join(
            f'{student} ×{scale}, {method}: {text}'
            for (student, scale, method), text in found.items()
        )
        yield Text(
            f'MIXED PRECISIONS, marked{MARK}: {rows}. What is different there may come from that.'
        )


def _group(
    results: Results, student: str, scale: int, cells: dict[str, Cell], out: Path, folder: Path
) -> Iterator[Block]:
    yield Heading(f'{student} ×{scale}')
    yield tables.quality(results, student, scale, cells)
    yield Text(
        f'Gain: over {results.plan.baseline}, dB, seed by seed. Validation: at the end of the '
        'training. Training: mean seconds of '
        'the iterations alone, on the machine of the training; caches and the training of teachers '
        'are listed at the end.'
    )
    beside = tables.published_beside_ours(results, student, scale, cells)
    if beside is not None:
        yield Heading('Published, other training', 3)
        yield Text(
            'Figures of other publications for the same student, scale and test sets. Their data, '
            'schedules and teachers are '
            'others: they do not compare with ours line by line.'
        )
        yield beside
    for test_set in results.plan.test:
        yield Heading(f'{student} ×{scale}, {test_set}: row minus column', 3)
        yield tables.significance(results, cells, test_set)
    yield Text(
        'Mean difference of PSNR ± standard deviation over seeds, and p of the two-sided Wilcoxon '
        'signed-rank test over images (of '
        'each the mean over seeds), corrected by the method of Holm for the number of comparisons '
        'in the table.'
    )
    path = folder / f'crops_{student}_x{scale}.png'
    if not all(
        weights_path(out / 'experiments' / run.name).is_file()
        for run in shown(results, student, scale)
    ):
        return  # the results were moved without the networks
    seed = crops(results, student, scale, out, path)
    yield Picture(
        path,
        f'{student} ×{scale}: where the methods differ most from each other (seed {seed}); below '
        'each crop its PSNR (RGB).',
    )


def write(plan: PlanOptions, runs: list[Run], out: Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``summary.md``, two ``.csv`` files, and pictures.

    They go into ``report/``, and into ``report_NAME/`` for a plan with a base. ``summary.md`` is
    one table of all students.

    Args:
        plan: The plan.
        runs: What it consists of; those that are finished are reported, the others
            named.
        out: Folder of the results.

    Returns:
        The files.

    Raises:
        DataError: no student is finished.
    """
    results = collect(plan, runs, out)
    folder = out / (f'report_{plan.name}' if plan.base else 'report')
    if not results.cells:
        raise DataError(f"'{out}': no student of the plan is finished, there is nothing to report")
    folder.mkdir(exist_ok=True)
    blocks = list(introduction(results))
    scales = list(dict.fromkeys(scale for _, scale, _ in results.groups()))
    summaries = [tables.summary(results, scale) for scale in scales]
    if bars(results, folder / 'gains.png'):
        blocks += [
            Heading('All methods'),
            *summaries,
            Picture(folder / 'gains.png', BARS.format(baseline=plan.baseline)),
        ]
    curves(results, folder / 'curves.png')
    blocks.append(Picture(folder / 'curves.png', CURVES))
    for student, scale, cells in results.groups():
        blocks += _group(results, student, scale, cells, out, folder)
    blocks.append(Heading('Costs'))
    for scale in scales:
        measured, size = _measured_costs(results, scale)
        blocks += [
            tables.costs(measured),
            Text(
                f'×{scale}; time for an image of {size[1]}×{size[0]} pixels, median of five, '
                'on the machine of this report.'
            ),
        ]
    blocks.append(tables.preparation(results))
    files = [
        folder / 'report.md',
        folder / 'report.html',
        folder / 'summary.md',
        *write_csv(results, folder),
    ]
    files[2].write_text(markdown(summaries), encoding='utf-8')
    files[0].write_text(markdown(blocks), encoding='utf-8')
    files[1].write_text(page(blocks), encoding='utf-8')
    return files
