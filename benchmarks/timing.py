"""Timing of several functions side by side, for the benchmark scripts."""

import argparse
import statistics
import time
from pathlib import Path

import torch

from mtkd_basicsr.utils.atomic import save_atomically
from mtkd_basicsr.utils.precision import describe, describe_cpu
from mtkd_basicsr.weights.networks import build


def parser(description, runs):
    """A parser with ``--device``, ``--threads`` and ``--runs``.

    Args:
        description (str): What the script measures.
        runs (int): Default of ``--runs``.

    Returns:
        argparse.ArgumentParser: A script adds arguments of its own.
    """
    result = argparse.ArgumentParser(description=description)
    result.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    result.add_argument(
        '--threads', type=int, default=torch.get_num_threads(), help='CPU threads of torch'
    )
    result.add_argument('--runs', type=int, default=runs, help='timed runs of each implementation')
    return result


def arguments(description, runs):
    """Parses what :func:`parser` knows, and sets the threads."""
    args = parser(description, runs).parse_args()
    torch.set_num_threads(args.threads)
    return args


def interleaved_medians(functions, runs, device='cpu', warmup=2, clock=time.perf_counter):
    """Median time of each function.

    They take turns (A B A B ...), so that a slow moment of the machine does not hit one of them
    alone.

    Args:
        functions (list): Functions without arguments.
        runs (int): Timed runs of each.
        device (str): With ``'cuda'`` the clock stops when the GPU is done.
        warmup (int): Runs of each before the clock starts.
        clock (Callable): Gives the time in seconds; by default that of a clock on the wall.

    Returns:
        list[float]: Seconds.
    """
    times = [[] for _ in functions]
    for run in range(-warmup, runs):
        for function, seconds in zip(functions, times):
            start = clock()
            function()
            if device == 'cuda':
                torch.cuda.synchronize()
            if run >= 0:
                seconds.append(clock() - start)
    return [statistics.median(seconds) for seconds in times]


def random_weights(network, name):
    """Random weights of a network. None is zero: a network that is only a mix of its inputs would
    compute nothing else.
    """
    torch.manual_seed(0)
    net = build(network, name)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1 and not p.any():
                torch.nn.init.normal_(p, std=0.01)
    return net.state_dict()


def write_weights(opt, folder):
    """Random weights in BasicSR's format for the teachers and the fusion network of an option file,
    which then names them.
    """
    blocks = {
        **(opt.get('teachers') or {}),
        **({'fusion': opt['fusion']} if opt.get('fusion') else {}),
    }
    for name, block in blocks.items():
        path = Path(folder) / f'{name}.pth'
        if not path.exists():
            # Several processes may share the folder.
            save_atomically({'params': random_weights(block['network'], name)}, path)
        block['weights'] = str(path)


def machine(device):
    """What the figures were taken with: version of torch, device and its features, threads."""
    name = describe('cuda') if device == 'cuda' else f'CPU ({describe_cpu()})'
    return f'torch {torch.__version__}, {name}, {torch.get_num_threads()} threads'
