"""A tiny training, killed at random moments and resumed after each.

    python benchmarks/kills.py [--kills N] [--seed N]

Stage 2 of MTKD with cached targets, on photographs, one checkpoint for each iteration,
`logger.keep_last: 3`. Each time a process trains with `--auto_resume` until SIGKILL comes at a
random moment; it is forked from one that has imported everything, so that the moments lie in
reading options, resuming, training and saving, and not in imports. The table says how far each
process came, what the next one went on from, and what the kills left behind. It ends with an error
if more than one iteration was lost, a checkpoint could not be read, or the last weights do not
load.
"""

import argparse
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import basicsr.train  # noqa: F401  (what every process would import)
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from cache import SCALE, write_images, write_options
from timing import machine

import mtkd_basicsr  # noqa: F401  (makes `import basicsr` work)
from mtkd_basicsr.commands.cli import main as mtkd
from mtkd_basicsr.host.log_parser import progress_of, resumed_at
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build

LONGEST = 2.5  # seconds that a process lives


STUDENT = {
    'type': 'EDSR',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_feat': 8,
    'num_block': 1,
    'upscale': SCALE,
}


def start(folder, name, function):
    """Runs a function in a process of its own, in the folder; what it prints goes to a file."""
    pid = os.fork()
    if pid:
        return pid
    output = os.open(folder / f'{name}.txt', os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    status = 1
    try:
        status = function()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def train(*arguments):
    """For :func:`start`."""
    return lambda: mtkd(['train', '-opt', 'tiny.yml', '--auto_resume', *arguments])


def finish(pid, folder, name):
    """Waits for a process; gives what it printed."""
    status = os.waitpid(pid, 0)[1]
    printed = (folder / f'{name}.txt').read_text()
    if status:
        raise SystemExit(f'{name} failed:\n{printed[-3000:]}')
    return printed


def prepare(folder):
    """Images, networks, the option file and the cache."""
    write_images(folder, 2)
    opt, path = write_options(folder, False)
    opt.update(name='killed', num_gpu=0, network_g=STUDENT, val=None, manual_seed=0)
    opt['datasets'] = {
        'train': {
            **opt['datasets']['train'],
            'gt_size': 32,
            'batch_size_per_gpu': 2,
            'num_worker_per_gpu': 0,
        }
    }
    opt['logger'].update(print_freq=1, save_checkpoint_freq=1, keep_last=3)
    opt['train'].update(
        total_iter=10**6,
        ema_decay=0.9,
        scheduler={'type': 'MultiStepLR', 'milestones': [10**6], 'gamma': 0.5},
    )
    (folder / 'tiny.yml').write_text(yaml.dump(opt, Dumper=ordered_yaml()[1]))
    return mtkd(['cache', '-opt', 'tiny.yml'])


def last(read, text):
    """What a function of a line of the log reads last; None where no line says it."""
    found = [read(line) for line in text.splitlines()]
    found = [iteration for iteration in found if iteration is not None]
    return found[-1] if found else None


def run():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    began = time.time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # This process runs nothing itself: what is set up once (BasicSR's log) each of the others
        # has to set up.
        finish(start(folder, 'prepare', lambda: prepare(folder)), folder, 'prepare')
        states = folder / 'experiments' / 'killed' / 'training_states'
        reached = 0
        lost = Counter()
        left = Counter()
        for number in range(args.kills):
            pid = start(folder, number, train())
            time.sleep(draw.uniform(0, LONGEST))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            printed = (folder / f'{number}.txt').read_text()
            if not os.WIFSIGNALED(status):
                raise SystemExit(f'process {number} ended by itself:\n{printed[-3000:]}')
            resumed = last(resumed_at, printed)
            if resumed is not None:
                lost[reached - resumed] += 1
                reached = resumed
            reached = last(progress_of, printed) or reached
            left['processes that were killed before their first iteration'] += (
                last(progress_of, printed) is None
            )
            left['files that were left half written'] += sum(1 for _ in folder.rglob('*.tmp'))
            left['checkpoints that were skipped as broken'] += printed.count('; skipped')
        newest = max(int(p.stem) for p in states.glob('*.state'))
        printed = finish(
            start(folder, 'end', train('--force_yml', f'train:total_iter={newest + 3}')),
            folder,
            'end',
        )
        lost[reached - last(resumed_at, printed)] += 1
        net = build(STUDENT, 'student')
        load_weights(
            net,
            str(folder / 'experiments' / 'killed' / 'models' / 'net_g_latest.pth'),
            'the last weights',
        )
        finite = all(torch.isfinite(p).all() for p in net.parameters())
        names = sorted(p.name for p in (folder / 'experiments' / 'killed').glob('*/*'))
    print(f'{args.kills} kills in {time.time() - began:.0f} s, {newest + 3:,d} iterations\n')
    print('| | |\n|---|---|')
    for iterations, times in sorted(lost.items()):
        print(
            f'| resumed with {iterations} {"iteration" if iterations == 1 else "iterations"} lost '
            f'| {times} |'
        )
    for text, times in left.items():
        print(f'| {text} | {times} |')
    print(
        f'| at the end | {", ".join(names)} |\n| last weights load and are finite | '
        f'{"yes" if finite else "no"} |\n'
    )
    print(machine('cpu'))
    if max(lost) > 1 or left['checkpoints that were skipped as broken'] or not finite:
        raise SystemExit('kills did harm')


if __name__ == '__main__':
    run()
