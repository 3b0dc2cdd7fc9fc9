"""The picture of equal seconds: what the methods of a plan reach after the same time of training,
that of their caches included. `python benchmarks/tables.py` draws it.

The seconds of a method are its iterations times the seconds of one without a teacher, as measured
in the trainings of the baseline, times the cost of its step, a ratio that benchmarks/methods.py has
recorded: the trainings themselves ran on machines of different speed, with versions of this package
whose steps took longer.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from reference_models import TITLES

from mtkd_basicsr.commands.compare.report.figures import mean_curve
from mtkd_basicsr.commands.compare.report.styles import base_name, method_styles
from mtkd_basicsr.commands.compare.report.timing import conditions

# Where the y axis begins: what this share of the panel's validations are below.
_SHARE_BELOW = 0.22
# A further training with caches that are there.
_FURTHER = {'ls': ':', 'lw': 1.7, 'marker': 'o', 'ms': 6, 'mfc': 'white'}
_GREY = '#666666'


@dataclass
class Course:
    """The validations of a method over the seconds of its training.

    seconds, mean, low, high: one-dimensional arrays; the mean over seeds, the lowest and the
        highest seed, in dB; the seconds are those of the iterations alone.
    preparation: seconds of the caches that it needs, and of the fusion network.
    fused: whether these have a fused target, rather than the outputs of one teacher.
    """

    seconds: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    preparation: float
    fused: bool


@dataclass
class Panel:
    """A panel of the picture.

    student, scale: what is trained.
    precision: of the student, where the seconds were measured; may be empty.
    courses: method -> its course; None where its seconds are not known.
    """

    student: str
    scale: int
    precision: str
    courses: dict[str, Course | None]


def _machines(cell):
    """Machine of each seed, as far as it changes the seconds."""
    return [conditions([machine], ['']) for machine in cell.machines]


def _measured_on(cell):
    """Machine and precision of the student of each seed."""
    precisions = [found.get('student', '') for found in cell.precisions]
    return list(zip(_machines(cell), precisions))


def machine_of(results):
    """The machine whose seconds are drawn: that of the caches, else that of most trainings."""
    prepared = [conditions([m], ['']) for m in results.prepared_machines.values()]
    trainings = [machine for cell in results.cells.values() for machine in _machines(cell)]
    found = Counter(prepared) or Counter(trainings)
    return found.most_common(1)[0][0]


def step_of(cell, where):
    """Seconds of a step, mean over the seeds that were measured there; None without any."""
    found = [
        curve[-1][1] / curve[-1][0]
        for place, curve in zip(_measured_on(cell), cell.curves)
        if place == where and curve
    ]
    return float(np.mean(found)) if found else None


def preparation_seconds(results, run, machine):
    """Seconds of the caches, and of the trainings, that a training builds on.

    A training that reads the output of one teacher has its share of a cache that holds all of
    them.

    Returns:
        None where they are not finished, or were measured on another machine.
    """
    contents = run.config.cache_contents
    if contents is None:
        return 0.0
    needed, waiting = set(), list(run.after)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += results.runs[name].after
    total = 0.0
    for name in sorted(needed):
        measured = results.prepared_machines.get(name)
        if measured is None or conditions([measured], ['']) != machine:
            return None
        total += results.prepared[name]
    return total / len(run.config.teachers) if contents == 'teachers' else total


def _course(cell, step, preparation, fused):
    """The course of a method; None where its seconds cannot be known.

    Args:
        cell: Its results.
        step: Seconds of a step; may be None.
        preparation: Of :func:`preparation_seconds`.
        fused: Whether it has a fused target.
    """
    if preparation is None or step is None or not all(cell.curves):
        return None
    iterations, _, mean, low, high = mean_curve(cell)
    return Course(np.asarray(iterations) * step, mean, low, high, preparation, fused)


def cost_of(method, ratios):
    """The cost of a step; that of a variant with another teacher, as LogitKD-edsr, is the same."""
    name = base_name(method)
    return ratios.get(name, ratios.get(name.partition('-')[0]))


def panels_of(results, costs):
    """What is drawn.

    Args:
        results: Those of the plan.
        costs: Student -> ``'ratios'`` -> method -> cost of a step over that of the student alone,
            as benchmarks/methods.py records it.

    Returns:
        A :class:`Panel` for each student.
    """
    machine = machine_of(results)
    runs = {}
    for run in results.runs.values():
        if run.kind == 'student':
            runs.setdefault((run.student, run.scale, run.method), run)
    panels = []
    for student, scale, cells in results.groups():
        places = Counter(place for cell in cells.values() for place in _measured_on(cell))
        here = Counter({place: n for place, n in places.items() if place[0] == machine})
        precision = (here or places).most_common(1)[0][0][1]
        where = machine, precision
        alone = None
        if results.plan.baseline in cells:
            alone = step_of(cells[results.plan.baseline], where)
        ratios = costs.get(student, {}).get('ratios', {})
        courses = {}
        for method, cell in cells.items():
            run = runs[student, scale, method]
            ratio = cost_of(method, ratios)
            step = None if alone is None or ratio is None else alone * ratio
            preparation = preparation_seconds(results, run, machine)
            fused = run.config.cache_contents == 'target'
            courses[method] = _course(cell, step, preparation, fused)
        panels.append(Panel(student, scale, precision, courses))
    return panels


def _named(panels, chosen):
    """The methods of each student that are chosen, in words."""
    parts = []
    for panel in panels:
        names = [method for method, course in panel.courses.items() if chosen(course)]
        if names:
            parts.append(f'{panel.student} {", ".join(names)}')
    return '; '.join(parts)


def caption(results, panels):
    """What the picture shows, and how its seconds were counted."""
    drawn = [course for panel in panels for course in panel.courses.values() if course]
    seeds = ', mean over seeds, bands from the lowest to the highest' * results.several_seeds
    text = f'PSNR of validation over seconds of training on {machine_of(results)}{seeds}.'
    baseline = _label(results, results.plan.baseline)
    text += (
        f' Seconds = iterations × seconds of an iteration of "{baseline}" × '
        '[cost of a step](figures.md#cost-of-a-step).'
    )
    fused = sorted({round(course.preparation) for course in drawn if course.fused})
    if fused:
        text += (
            f' A fused target is ready after {" or ".join(f"{n:,d}" for n in fused)} s, once for '
            'all students and seeds; dotted: a further training.'
        )
    single = {round(c.preparation) for c in drawn if c.preparation and not c.fused}
    if single:
        text += f' The cache of one teacher: {" or ".join(map(str, sorted(single)))} s.'
    left_out = _named(panels, lambda course: course is None)
    if left_out:
        text += f' Without {left_out}, whose cost was not measured.'
    return text


def _label(results, method):
    (iterations,) = {
        run.options['train']['total_iter'] for run in results.runs.values() if run.method == method
    }
    name = base_name(method)
    return f'{TITLES.get(name, name)}, {iterations:,d}'


def draw(results, panels, path):
    """Draw a panel for each student.

    Args:
        results: Those of the plan.
        panels: What :func:`panels_of` has made of them.
        path: PNG file to write.
    """
    styles = method_styles(results.plan.methods)
    figure = Figure(figsize=(12, 5.4), layout='constrained')
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    shown = set()
    for axis, panel in zip(axes, panels):
        values = []
        for method, course in panel.courses.items():
            if course is None:
                continue
            shown.add(method)
            values += list(course.mean)
            _draw_course(axis, course, styles[method])
        if values:
            lowest, highest = np.quantile(values, _SHARE_BELOW), max(values)
            axis.set_ylim(lowest, highest + 0.06 * (highest - lowest))
        axis.set_xlim(left=0)
        precision = f', {panel.precision}' if panel.precision else ''
        axis.set_title(f'{panel.student} ×{panel.scale}{precision}', fontsize=14)
        axis.set_xlabel('seconds, with caches', fontsize=12)
        axis.tick_params(labelsize=11)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel('PSNR of validation (dB)', fontsize=12)
    handles = []
    for method, style in styles.items():
        if method in shown:
            look = {'color': style.colour, 'ls': style.line, 'lw': style.width}
            handles.append(Line2D([], [], label=_label(results, method), **look))
    if any(course and course.fused for panel in panels for course in panel.courses.values()):
        handles.append(
            Line2D(
                [], [], color=_GREY, label='a further training, when the caches exist', **_FURTHER
            )
        )
    figure.legend(handles=handles, loc='outside lower center', ncols=4, fontsize=12)
    figure.savefig(path, dpi=110)


def _draw_course(axis, course, style):
    """Draw a curve from the end of its caches on, and that of a further training with them."""
    x = course.preparation + course.seconds
    axis.fill_between(x, course.low, course.high, color=style.colour, alpha=0.12, linewidth=0)
    axis.plot(x, course.mean, color=style.colour, ls=style.line, lw=style.width)
    axis.plot(x[-1], course.mean[-1], 'o', color=style.colour, ms=6)
    if course.fused:
        further = {**_FURTHER, 'markevery': [len(course.mean) - 1]}
        axis.plot(course.seconds, course.mean, color=style.colour, **further)
