"""Memory of a training over its iterations: stage 2 of MTKD with cached targets.

    python benchmarks/memory.py [--iterations N] [--points N]

Networks of a few thousand parameters, photographs, two loader processes, BasicSR's own loop; a
checkpoint before each look at the memory.
Memory of the training process as the kernel counts it: what it has allocated, and apart from that
the pages of files (libraries, and the map of the cache), which the kernel takes away when it needs
them.
"""

import argparse
import os
import re
import tempfile
import time
from pathlib import Path

from kills import finish, last, prepare, start, train
from timing import machine

from mtkd_basicsr.host.log_parser import progress_of


def memory(pid):
    """Megabytes of anonymous memory, and of files, of a process."""
    text = Path(f'/proc/{pid}/status').read_text()
    return [
        int(re.search(rf'^{name}:\s+(\d+) kB', text, re.M)[1]) / 1024
        for name in ('RssAnon', 'RssFile')
    ]


def iteration_of(folder):
    text = ''.join(
        path.read_text() for path in (folder / 'experiments' / 'killed').glob('train_*.log')
    )
    return last(progress_of, text) or 0


def run():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--iterations', type=int, default=2000)
    parser.add_argument('--points', type=int, default=10, help='how often memory is looked at')
    args = parser.parse_args()
    every = max(args.iterations // args.points, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        finish(start(folder, 'prepare', lambda: prepare(folder)), folder, 'prepare')
        pid = start(
            folder,
            'train',
            train(
                '--force_yml',
                f'train:total_iter={args.iterations}',
                f'logger:save_checkpoint_freq={every}',
                'datasets:train:num_worker_per_gpu=2',
            ),
        )
        due = every
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            iteration = iteration_of(folder)
            if iteration >= due:
                rows.append((iteration, *memory(pid)))
                due = iteration - iteration % every + every
            time.sleep(0.05)
        if 'Save the latest model' not in (folder / 'train.txt').read_text():
            raise SystemExit((folder / 'train.txt').read_text()[-3000:])
    print('| iteration | allocated, MB | files, MB |\n|---|---|---|')
    for iteration, anonymous, files in rows:
        print(f'| {iteration:,d} | {anonymous:.1f} | {files:.1f} |')
    print(f'\nlast / first, allocated: {rows[-1][1] / rows[0][1]:.3f} ratio\n')
    print(machine('cpu'))


if __name__ == '__main__':
    run()
