"""Records of what is finished, and what becomes of what other settings made."""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from ..utils.atomic import write_json


class Record:
    """A small file that records the settings of a job and whether it is finished.

    Args:
        path: The file.
        fingerprint: Identifier of the settings of this call.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint

    def read(self) -> dict[str, Any]:
        """Return ``fingerprint``, ``finished`` and ``seconds``; empty if there is no valid file."""
        try:
            content = json.loads(self.path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, finished: bool, seconds: float = 0.0) -> None:
        """Replace the file atomically."""
        write_json(
            self.path,
            {'fingerprint': self.fingerprint, 'finished': finished, 'seconds': round(seconds, 1)},
        )

    def seconds_of_stopped(self) -> float:
        """Return the seconds of a job with the settings of this call that was stopped; else 0."""
        content = self.read()
        is_stopped = content.get('fingerprint') == self.fingerprint and not content.get('finished')
        return float(content.get('seconds') or 0) if is_stopped else 0.0

    def is_finished(self) -> bool:
        """Return whether the job has finished with the settings of this call."""
        content = self.read()
        return content.get('fingerprint') == self.fingerprint and content.get('finished') is True

    def is_begun(self) -> bool:
        """Return whether the job was started with the settings of this call."""
        return self.read().get('fingerprint') == self.fingerprint


def archive(folder: Path) -> None:
    """Rename a folder or file so that nothing is overwritten; do nothing if it does not exist."""
    if not folder.exists():
        return
    name = f'{folder}_archived_{time.strftime("%Y%m%d_%H%M%S")}'
    names = (f'{name}_{i}' if i else name for i in itertools.count())
    folder.rename(next(name for name in names if not os.path.lexists(name)))
