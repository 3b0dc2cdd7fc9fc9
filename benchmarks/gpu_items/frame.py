"""Items, what they report, and their table.

An item is a function that is given a :class:`Context` and reports rows: one value, with the largest
that is allowed for a check. A row is written to ``results.jsonl`` as soon as it is there, so that
what was measured before a crash is kept.
"""

import contextlib
import json
import math
import os
import signal
import statistics
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import torch

# Rows of a table on the terminal, at most; the whole table is in the folder of --out.
MAX_LINES = 120


@dataclass(frozen=True)
class Item:
    """A check or a timing.

    Attributes:
        name: Its name on the command line and in the tables.
        run: Function of a :class:`Context`.
        seconds: How long it may take on a GPU.
        check: Whether it compares results; otherwise it takes times.
        rank: Order of the work: what is left out when time is short has the largest.
        about: The first line of the function's docstring.
    """

    name: str
    run: object
    seconds: float
    check: bool
    rank: int
    about: str


ITEMS = {}


def _register(function, seconds, rank, check):
    name = function.__name__.replace('_', '-')
    if name in ITEMS:
        raise ValueError(f'two items are called {name}')
    about = function.__doc__.strip().splitlines()[0]
    ITEMS[name] = Item(name, function, seconds, check, rank, about)
    return function


def check(seconds, rank):
    """Register a function that compares results."""
    return lambda function: _register(function, seconds, rank, True)


def timing(seconds, rank):
    """Register a function that takes times."""
    return lambda function: _register(function, seconds, rank, False)


def items(checks):
    """Return all checks, or all timings, in the order of the work."""
    return sorted((i for i in ITEMS.values() if i.check == checks), key=lambda i: i.rank)


@dataclass
class Context:
    """What an item works with.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``.
        tiny: Whether to use small networks and one repetition: a rehearsal.
        out: Folder for results.
        files: Folder for what items write besides.
        item: The item that is running.
        rows: What it has reported.
    """

    device: str
    tiny: bool
    out: Path
    files: Path
    item: str = ''
    rows: list = field(default_factory=list)

    def pick(self, full, tiny):
        """Return the one or the other, by whether this is a rehearsal."""
        return tiny if self.tiny else full

    def synchronize(self):
        """Wait for the GPU, if there is one."""
        if self.device == 'cuda':
            torch.cuda.synchronize()

    def record(self, part, value, unit=''):
        """Report what has no right value: a version, a time, an error text."""
        self._write({'part': part, 'value': value, 'unit': unit, 'ok': None})

    def expect(self, part, value, limit=0.0):
        """Report an error that must be no larger than ``limit``; NaN is too large."""
        ok = bool(value <= limit) and math.isfinite(value)
        self._write({'part': part, 'value': value, 'limit': limit, 'ok': ok})

    def expect_true(self, part, value, text=''):
        """Report a condition that must hold, and what there was instead."""
        self._write({'part': part, 'value': text or bool(value), 'ok': bool(value)})

    def expect_same(self, part, one, other):
        """Report whether two tensors, or nested containers of them, are equal bit by bit."""
        self.expect_true(part, same(one, other))

    @contextlib.contextmanager
    def part(self, name):
        """Report an exception within one part of an item as its failure, and go on behind it."""
        try:
            yield
        except Exception as error:
            self._write({'part': name, 'value': last_line(error), 'ok': False})
            if is_fatal(error):
                raise

    def _write(self, row):
        row = {'item': self.item, **row}
        self.rows.append(row)
        append(self.out, row)


def append(out, row):
    """Write a line to ``results.jsonl``; several processes do so."""
    with open(Path(out) / 'results.jsonl', 'a', encoding='utf-8') as file:
        file.write(json.dumps(row, default=str) + '\n')


def read(out):
    """Return all lines of ``results.jsonl``."""
    path = Path(out) / 'results.jsonl'
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def last_line(error):
    """Return an exception in a line of at most 200 characters."""
    return ' '.join(traceback.format_exception_only(error)[-1].split())[:200]


def is_fatal(error):
    """Whether the CUDA context is lost, so that this process can do nothing more."""
    text = str(error)
    return 'CUDA error' in text or 'device-side assert' in text


def same(one, other):
    """Whether tensors, or lists and dicts of them, are equal bit by bit; NaN equals NaN."""
    if isinstance(one, torch.Tensor):
        one = one.detach().cpu()
        other = other.detach().cpu()
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return one == other


def relative(actual, expected):
    """Return the largest difference, divided by the largest magnitude of what is expected."""
    actual = actual.detach().double().cpu()
    expected = expected.detach().double().cpu()
    scale = expected.abs().max().item() or 1.0
    return (actual - expected).abs().max().item() / scale


def relative_norm(actual, expected):
    """Return the norm of the difference, divided by that of what is expected."""
    actual = actual.detach().double().cpu()
    expected = expected.detach().double().cpu()
    return ((actual - expected).norm() / (expected.norm() or 1.0)).item()


def weigh(y):
    """Return the sum of an output with fixed random weights, whose gradients do not cancel."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    return (y.double() * weight.to(y.device)).sum()


@contextlib.contextmanager
def tf32(allowed):
    """Allow or forbid TF32 in convolutions and matrix products."""
    cudnn = torch.backends.cudnn.allow_tf32
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = cudnn
        torch.backends.cuda.matmul.allow_tf32 = matmul


def times(context, functions, runs=30, warmup=10):
    """Time functions in turns, A B A B …, by the wall clock.

    Args:
        context: The :class:`Context`.
        functions: Functions without arguments, by name.
        runs: Timed runs of each.
        warmup: Runs of each before.

    Returns:
        dict: By name, the median of the seconds and their interquartile range.
    """
    if context.tiny:
        runs = 1
        warmup = 1
    seconds = {name: [] for name in functions}
    for run in range(-warmup, runs):
        for name, function in functions.items():
            context.synchronize()
            start = time.perf_counter()
            function()
            context.synchronize()
            if run >= 0:
                seconds[name].append(time.perf_counter() - start)
    result = {}
    for name, values in seconds.items():
        low, middle, high = (
            statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        )
        result[name] = (middle, high - low)
    return result


def kernels(context, function):
    """Return the number of CUDA kernels of a call and the sum of their milliseconds."""
    if context.device != 'cuda':
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    function()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        function()
        torch.cuda.synchronize()
    # Not profiler.events(), which takes seconds for some thousand kernels.
    events = profiler.profiler.kineto_results.events()
    spans = [e.duration_ns() for e in events if e.device_type() == DeviceType.CUDA]
    return len(spans), sum(spans) / 1e6


def report_times(context, functions, runs=30, warmup=10):
    """Report the milliseconds of functions, with the kernels of one call, and return the medians
    in seconds.
    """
    medians = {}
    for name, (middle, spread) in times(context, functions, runs, warmup).items():
        medians[name] = middle
        text = f'{middle * 1e3:.3f} ± {spread * 1e3:.3f}'
        counted = kernels(context, functions[name])
        if counted is not None:
            text += f' ({counted[0]} kernels, {counted[1]:.3f} ms of them)'
        context.record(name, text, 'ms')
    return medians


class Stopped(BaseException):
    """An item has used up its seconds.

    No Exception: torch and this package turn those into errors of their own, and go on.
    """


def run_item(context, item, seconds):
    """Run one item within its seconds.

    Returns:
        bool: Whether this process can go on with another item.
    """

    def stop(*_):
        raise Stopped(f'stopped after {seconds:.0f} s')

    context.item = item.name
    context.rows = []
    append(context.out, {'item': item.name, 'begun': time.time(), 'pid': os.getpid()})
    start = time.perf_counter()
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(max(1, round(seconds)))
    fatal = False
    torch.manual_seed(0)
    try:
        item.run(context)
        if not context.rows:
            raise RuntimeError('the item has reported nothing')
    except (Exception, Stopped) as error:
        traceback.print_exc()
        context._write({'part': 'the item', 'value': last_line(error), 'ok': False})
        fatal = is_fatal(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        taken = time.perf_counter() - start
        append(context.out, {'item': item.name, 'ended': time.time(), 'seconds': taken})
    if context.device == 'cuda' and not fatal:
        torch.cuda.empty_cache()
    return not fatal
