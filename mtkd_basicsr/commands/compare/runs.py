"""One run of a plan: what the files of a comparison are named after."""

from dataclasses import dataclass, field
from typing import Any

from ...config import TrainingConfig
from ...utils.choices import CacheContents


@dataclass
class Run:
    """One thing to be done.

    Attributes:
        name: Of the folder in ``experiments/``, or of the file in ``caches/``.
        kind: ``'prepare'`` (a training that others build on), ``'cache'``,
            ``'references'`` (bicubic, teachers and target on the test sets), or ``'student'``.
        scale: Factor.
        options: A whole option file.
        student, method, seed: Of a student.
        what: Of a cache: ``'target'`` or ``'teachers'``.
        self_ensemble: Of a cache, and of the student that it is for: means over eight
            flips and rotations. Of references: a student learns from such a cache.
        after: Names of runs that have to be finished before.
        fingerprint: Of the options, and of all runs in ``after``.
        config: The options, parsed; set by :func:`~.expansion.expand`.
    """

    name: str
    kind: str
    scale: int
    options: dict[str, Any]
    student: str | None = None
    method: str | None = None
    seed: int | None = None
    what: CacheContents | None = None
    self_ensemble: bool = False
    after: set[str] = field(default_factory=set)
    fingerprint: str = ''
    config: TrainingConfig = field(init=False, repr=False)
