"""One run of a plan."""

from dataclasses import dataclass, field
from typing import Any

from ...config import TrainingConfig
from ...utils.choices import CacheContents


@dataclass
class Run:
    """A run of a plan.

    Attributes:
        name: Name of the folder in ``experiments/``, or of the file in ``caches/``.
        kind: ``'prepare'`` (a training that others build on), ``'cache'``,
            ``'references'`` (bicubic, teachers and target on the test sets), or ``'student'``.
        scale: Factor.
        options: All options of its option file.
        student, method, seed: Student, method and seed of a ``'student'`` run.
        contents: Contents of a cache: ``'target'`` or ``'teachers'``.
        self_ensemble: For a cache and its students: whether targets are averaged over eight flips
            and rotations. For references: whether a student learns from such a cache.
        outputs_from: For a cache and its students: cache of the outputs of the teachers that fused
            targets are computed from; None if the teachers run.
        after: Names of the runs that must finish first.
        fingerprint: Hash of the options and of the fingerprints of all runs in ``after``.
        config: The parsed options; set by :func:`~.expansion.expand`.
    """

    name: str
    kind: str
    scale: int
    options: dict[str, Any]
    student: str | None = None
    method: str | None = None
    seed: int | None = None
    contents: CacheContents | None = None
    self_ensemble: bool = False
    outputs_from: str | None = None
    after: set[str] = field(default_factory=set)
    fingerprint: str = ''
    config: TrainingConfig = field(init=False, repr=False)
