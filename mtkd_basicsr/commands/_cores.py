"""How the processes of a command share the cores of a machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ._jobs import Job


@dataclass(frozen=True)
class Cores:
    """How the steps share the cores of a machine.

    Attributes:
        jobs: Number of processes at the same time.
        threads: Threads of each process. More threads gain little for such small networks, and
            lose much when another program needs the same cores.
        cache_parts: Number of processes that share the images of a cache.
        waiting: Whether the student without teachers waits for the other one's cache, so that the
            caches have all cores.
    """

    jobs: int
    threads: int
    cache_parts: int
    waiting: bool

    @classmethod
    def of(cls, count: int) -> 'Cores':
        """Return how to share ``count`` cores.

        One process computes a cache on a GPU, and on Windows, which lacks the locks for several.
        """
        jobs = max(1, min(count, 3))
        single_process = torch.cuda.is_available() or os.name == 'nt'
        parts = 1 if single_process else min(2, jobs)
        return cls(jobs, max(1, min(4, count // jobs)), parts, waiting=jobs == 2)


def cache_jobs(
    title: str,
    arguments: Mapping[str, Any],
    cwd: Path,
    log: Path,
    cores: Cores,
    after: set[str] | frozenset[str] = frozenset(),
) -> list[Job]:
    """Return the processes that compute a cache together.

    Args:
        title: Name of the cache in messages.
        arguments: Keyword arguments of :func:`mtkd_basicsr.commands.cache`.
        cwd: Current directory of the processes.
        log: Log file; with several processes each gets its own, with a number at its end.
        cores: How the steps share the cores.
        after: Names of the jobs that must finish first.
    """
    cache = dict(arguments)
    if cores.cache_parts == 1:
        return [Job(title, 'cache', cache, cwd, log, after=set(after))]
    jobs = []
    for part in range(cores.cache_parts):
        # As under torchrun: each process computes its share of the images.
        share = {'RANK': str(part), 'WORLD_SIZE': str(cores.cache_parts)}
        own_log = log.with_name(f'{log.stem}_{part + 1}.log')
        name = f'{title} ({part + 1} of {cores.cache_parts})'
        jobs.append(Job(name, 'cache', cache, cwd, own_log, after=set(after), environment=share))
    return jobs
