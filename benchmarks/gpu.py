"""Everything of this package that a GPU can show, checked and timed.

    python benchmarks/gpu.py --out DIR [--device cuda|cpu] [--tiny] [--seconds N] [--only ITEM ...]

First the checks, in several processes side by side, then the times, with nothing else running. Each
item has a limit of its own; an item that crashes or hangs costs only itself. What does not fit into
--seconds is left out, the least important first. DIR gets results.jsonl, a line for each value as
soon as it is there, table.md, and errors.txt; at most 120 lines are printed. Data and weights of
the items go to a folder for temporary files, or to --files.

    python benchmarks/gpu.py --out DIR --device cpu --tiny

rehearses all of it without a GPU, on small networks.
"""

import argparse
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before anything imports basicsr: a machine may lack what basicsr asks for.
sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu_items import missing_modules  # noqa: E402

missing_modules.provide()

import gpu_items.all_items  # noqa: E402, F401
import torch  # noqa: E402
from gpu_items import frame, tables  # noqa: E402
from timing import machine  # noqa: E402

from mtkd_basicsr.utils.machine import usable_cores  # noqa: E402

# Seconds beyond its limit after which a process that runs an item is killed.
GRACE = 15
# Part of the time that the checks may take.
CHECKS = 0.45
# A rehearsal on a CPU starts the same commands, on slower cores.
REHEARSAL = 8


def default_jobs():
    """Checks at a time: two cores for each, and eight at most, which share the GPU."""
    return max(1, min(8, usable_cores() // 2))


def parser():
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument('--out', type=Path, required=True, help='folder for results')
    result.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    result.add_argument('--tiny', action='store_true', help='small networks, one repetition')
    result.add_argument('--seconds', type=float, default=460, help='for all of it')
    result.add_argument('--jobs', type=int, default=default_jobs(), help='checks at a time')
    result.add_argument('--only', nargs='+', metavar='ITEM', help='these items; see --list')
    result.add_argument('--list', action='store_true', help='names of the items, and what they do')
    result.add_argument('--items', type=Path, help='a Python file with more items')
    result.add_argument('--files', type=Path, help='folder for other files (default: a new one)')
    result.add_argument('--worker', nargs='+', metavar='ITEM', help=argparse.SUPPRESS)
    result.add_argument('--until', type=float, default=0, help=argparse.SUPPRESS)
    return result


def limit_of(item, args):
    """Seconds that an item may take."""
    return item.seconds * (REHEARSAL if args.device == 'cpu' else 1)


def work(args):
    """Run items in this process; the exit status is 3 if the CUDA context is lost."""
    context = frame.Context(args.device, args.tiny, args.out, args.files)
    if args.device == 'cpu' or args.tiny:
        torch.set_num_threads(1)
    for name in args.worker:
        item = frame.ITEMS[name]
        left = args.until - time.time()
        if left < min(5, limit_of(item, args)):
            continue
        if not frame.run_item(context, item, min(left, limit_of(item, args))):
            return 3
    return 0


class Worker:
    """A process that runs a list of items, started again behind an item that ends it."""

    def __init__(self, args, names, until, index, threads):
        self.args = args
        # Threads of several processes that wait for each other in turn take most of the time.
        self.environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
        self.names = names
        self.until = until
        self.log = args.files / f'worker_{index}.log'
        self.start()

    def start(self):
        command = [sys.executable, __file__, '--out', self.args.out, '--device', self.args.device]
        command += ['--files', self.args.files]
        command += ['--until', str(self.until), *(['--tiny'] if self.args.tiny else [])]
        command += ['--items', self.args.items] if self.args.items else []
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [*map(str, command), '--worker', *self.names],
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def begun(self):
        """Name and time of the item that is running; None between items."""
        current = None
        for line in frame.read(self.args.out):
            if line.get('pid') == self.process.pid:
                current = (line['item'], line['begun'])
            elif 'ended' in line and current and line['item'] == current[0]:
                current = None
        return current

    def is_done(self):
        """Look after the process: kill it if it hangs, start it again for what is left."""
        current = self.begun()
        if self.process.poll() is None:
            hangs = current and (
                time.time() - current[1] > limit_of(frame.ITEMS[current[0]], self.args) + GRACE
            )
            if not hangs and time.time() < self.until + GRACE:
                return False
            self.process.kill()
            self.process.wait()
        if self.process.returncode == 0:
            return True
        finished = {line['item'] for line in frame.read(self.args.out) if 'begun' in line}
        if current:
            name = current[0]
            text = f'the process ended with status {self.process.returncode}; see errors.txt'
            row = {'item': name, 'part': 'the item', 'value': text, 'ok': False}
            frame.append(self.args.out, row)
            taken = time.time() - current[1]
            frame.append(self.args.out, {'item': name, 'ended': time.time(), 'seconds': taken})
        elif not finished & set(self.names):
            print(f'{self.log.name}:\n{self.log.read_text(errors="replace")[-2000:]}')
            return True  # it does not even start
        self.names = [name for name in self.names if name not in finished]
        if not self.names or time.time() > self.until:
            return True
        self.start()
        return False


def shared_out(items, jobs):
    """Deal items out to jobs so that each has about as much to do, the most important first."""
    parts = [[] for _ in range(jobs)]
    load = [0.0] * jobs
    for item in items:
        least = load.index(min(load))
        parts[least].append(item.name)
        load[least] += item.seconds
    return [part for part in parts if part]


def run_all(args, chosen):
    """Run the chosen items: checks side by side, then timings."""
    start = time.time()
    for checks in (True, False):
        items = [item for item in frame.items(checks) if item.name in chosen]
        share = CHECKS if checks and any(not frame.ITEMS[name].check for name in chosen) else 1
        until = start + args.seconds * share
        parts = shared_out(items, args.jobs if checks else 1)
        threads = max(1, usable_cores() // max(1, len(parts)))
        workers = [
            Worker(args, part, until, f'{int(checks)}{i}', threads) for i, part in enumerate(parts)
        ]
        while workers:
            workers = [worker for worker in workers if not worker.is_done()]
            time.sleep(0.2)


def write_errors(args):
    """Put what the processes printed into one file beside the results."""
    with open(args.out / 'errors.txt', 'w', encoding='utf-8') as file:
        for log in sorted(args.files.glob('worker_*.log')):
            text = log.read_text(encoding='utf-8', errors='replace')
            if text:
                file.write(f'{log.name}:\n{text}\n')


def main():
    args = parser().parse_args()
    if args.items:
        runpy.run_path(str(args.items))
    if args.list:
        for checks in (True, False):
            for item in frame.items(checks):
                print(f'{item.name:24}{item.about}')
        return 0
    unknown = [name for name in args.only or () if name not in frame.ITEMS]
    if unknown:
        raise SystemExit(f'--only: {", ".join(unknown)}: no such item; see --list')
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise SystemExit('--device cuda: torch finds no GPU; --device cpu --tiny rehearses')
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.worker:
        return work(args)
    if (args.out / 'results.jsonl').exists():
        raise SystemExit(f'--out {args.out}: has results already; use another folder')
    is_new = args.files is None
    args.files = Path(tempfile.mkdtemp(prefix='mtkd_gpu_')) if is_new else args.files.resolve()
    args.files.mkdir(parents=True, exist_ok=True)
    os.environ['PYTHONPATH'] = missing_modules.path_for_children(args.files)
    title = f'# On {machine(args.device)}'
    try:
        run_all(args, set(args.only or frame.ITEMS))
    finally:
        lines = frame.read(args.out)
        text = '\n'.join(tables.page(lines, title)) + '\n'
        (args.out / 'table.md').write_text(text, encoding='utf-8')
        write_errors(args)
        print('\n'.join(tables.terminal(lines, title)))
        if is_new:
            shutil.rmtree(args.files, ignore_errors=True)
    return int(any(line.get('ok') is False for line in lines))


if __name__ == '__main__':
    sys.exit(main())
