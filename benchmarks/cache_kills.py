"""Whether ``mtkd cache`` can be killed at any moment.

    python benchmarks/cache_kills.py [--kills N] [--images N] [--seed N]

The command runs again and again, and is ended by SIGKILL at random moments of a phase that is
drawn: before the first write, while it writes images, while it puts a complete cache in place
    of the old one. After each kill a reader has to refuse what is there, or
to find all of the old cache or all of the new one. Each cache that is completed is compared with
one that was written undisturbed. Every other cache replaces one of other settings; each image is a
transaction, so that kills fall into transactions.
"""

import argparse
import collections
import os
import random
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from cache import write_images, write_options
from timing import machine

from mtkd_basicsr.commands import cache
from mtkd_basicsr.data.cache import writer
from mtkd_basicsr.data.cache.format import array_names
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import CacheError

PHASES = {
    b'b': 'before the first write',
    b'i': 'during images',
    b'f': 'while it takes its place',
    b'x': 'just after that',
}
DRAWN = [b'b', b'i', b'f']
SETTINGS = ({}, {'tile': 16, 'tile_overlap': 4})
SIZE = 96


def reporting(method, phase, pipe, after=b''):
    """A method that says that a phase begins with it, and another one after it."""

    def wrapped(*args):
        os.write(pipe, phase)
        result = method(*args)
        os.write(pipe, after)
        return result

    return wrapped


def start(options, arguments):
    """Runs the command in a process of its own, which has imported everything; gives its number and
    the pipe of its phases.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.write(write, b'b')
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        writer._FLUSH_SECONDS = 0
        cache_writer = writer.CacheWriter
        cache_writer.put = reporting(cache_writer.put, b'i', write)
        cache_writer.finish = reporting(cache_writer.finish, b'f', write, b'x')
        cache(options, contents='target', overwrite=True, **arguments)
    except BaseException:
        os._exit(1)
    os._exit(0)


def until(pipe, phase=None):
    """Reads phases until one has begun, or the process has ended; gives the time at which each
    began.
    """
    begun = {}
    while select.select([pipe], [], [], 60)[0]:
        letter = os.read(pipe, 1)
        if not letter:
            break
        begun.setdefault(letter, time.perf_counter())
        if letter == phase:
            break
    return begun


def undisturbed(options, arguments):
    """Seconds of each phase of a run that nobody kills."""
    pid, pipe = start(options, arguments)
    begun = until(pipe)
    os.close(pipe)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit('the command fails; see mtkd cache -opt FILE')
    return {
        a: begun[b] - begun[a]
        for a, b in zip(PHASES, list(PHASES)[1:])
        if a in begun and b in begun
    }


def killed(options, arguments, phase, seconds):
    """Runs the command, and kills it some time after a phase has begun; the phase that was hit,
    None if it was too late.
    """
    pid, pipe = start(options, arguments)
    until(pipe, phase)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    letters = phase
    while select.select([pipe], [], [], 0)[0] and (more := os.read(pipe, 100)):
        letters += more
    os.close(pipe)
    return PHASES[letters[-1:]] if os.WIFSIGNALED(status) else None


def content(path):
    """Manifest and arrays of a cache, None where it is refused."""
    try:
        reader = CacheReader(path)
    except CacheError:
        return None
    arrays = [
        reader.array(i, kind).copy()
        for i in range(len(reader.manifest['images']))
        for kind in array_names(reader.key)
    ]
    return reader.manifest, arrays


def equal(a, b):
    return (
        a[0] == b[0]
        and len(a[1]) == len(b[1])
        and all(np.array_equal(x, y) for x, y in zip(a[1], b[1]))
    )


def attack(options, path, kills, generator):
    """Kills and looks; counts of (phase, what a reader finds), and how many caches were completed
    in all.

    Raises:
        AssertionError: a reader found something that is neither the old cache nor the new one.
    """
    durations = []
    whole = []
    for arguments in SETTINGS:
        durations.append(undisturbed(options, arguments))
        whole.append(content(path))
        shutil.rmtree(path)
    found = collections.Counter()
    completed = 0
    while sum(found.values()) < kills:
        new = completed % 2
        old = None if completed % 4 == 0 else whole[1 - completed % 2]
        if old is None:
            shutil.rmtree(path, ignore_errors=True)
        complete = False
        while not complete and sum(found.values()) < kills:
            phase = generator.choice(DRAWN)
            hit = killed(options, SETTINGS[new], phase, generator.uniform(0, durations[new][phase]))
            there = content(path)
            complete = there is not None and equal(there, whole[new])
            if not complete and not (
                there is None if old is None else there is not None and equal(there, old)
            ):
                raise AssertionError(f'after a kill {hit}: neither the old cache nor the new one')
            if hit is not None:
                found[
                    hit,
                    'the new cache' if complete else 'none' if there is None else 'the old cache',
                ] += 1
        undisturbed(options, SETTINGS[new])
        if not equal(content(path), whole[new]):
            raise AssertionError(
                'a cache that was completed after kills is not the one that was written undisturbed'
            )
        if [p.name for p in path.parent.glob(path.name + '*')] != [path.name]:
            raise AssertionError('something was left over')
        completed += 1
    return found, completed


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--kills', type=int, default=50)
    p.add_argument('--images', type=int, default=12)
    p.add_argument('--seed', type=int, default=0)
    args = p.parse_args()
    torch.set_num_threads(1)  # a process that has run several must not be forked
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder, args.images, SIZE)
        _, options = write_options(folder, paper=False)
        begin = time.perf_counter()
        found, completed = attack(
            options, folder / 'target.lmdb', args.kills, random.Random(args.seed)
        )
    columns = 'none', 'the old cache', 'the new cache'
    print(
        f'{args.images} images of {SIZE}×{SIZE}, {args.kills} kills in '
        f'{time.perf_counter() - begin:.0f} s\n{machine("cpu")}\n'
    )
    print(
        '| killed | '
        + ' | '.join(f'a reader finds {column}' for column in columns)
        + ' |\n|---|---|---|---|'
    )
    for phase in PHASES.values():
        print(f'| {phase} | ' + ' | '.join(str(found[phase, column]) for column in columns) + ' |')
    print(
        '\ncaches that were completed after kills, and have all arrays of the undisturbed ones: '
        f'{completed} / {completed}'
    )


if __name__ == '__main__':
    main()
