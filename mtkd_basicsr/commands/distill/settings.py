"""What ``mtkd distill`` was asked for, and what it has done so far."""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import OptionError
from ...utils.atomic import write_json, write_text
from .._arguments import make_folder
from .._validation import spelled

_RECORD = 'distill.json'


@dataclass(frozen=True)
class Settings:
    """The arguments of a call.

    Attributes:
        folder: Folder of the photographs.
        student: Name of the student.
        scale: Scale.
        teachers: Weight files of the teachers; empty for the reference teachers.
        hours: What all of it may take.
        validation: Number of photographs to keep apart; None for a share of them.
    """

    folder: str
    student: str
    scale: int
    teachers: tuple[str, ...]
    hours: float
    validation: int | None


class Progress:
    """The record of an output folder: the arguments that it was made with, and what is done.

    Args:
        out: The folder, which is created.
        settings: The arguments of this call.

    Attributes:
        hours: What all of it may take.

    Raises:
        OptionError: :func:`check_folder` refuses it.
    """

    def __init__(self, out: Path, settings: Settings) -> None:
        self._path = out / _RECORD
        self.hours = settings.hours
        self._content = check_folder(out, settings)
        make_folder(out)
        self._write()

    def _write(self) -> None:
        write_json(self._path, self._content)

    @property
    def seconds(self) -> float:
        """Return what the calls have taken so far, in seconds."""
        return float(self._content['seconds'])

    @property
    def seconds_left(self) -> float:
        """Return what is left of the hours, in seconds; not less than 0."""
        return max(0.0, self.hours * 3600 - self.seconds)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time of a step to that of all calls, also if it is interrupted."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._content['seconds'] = round(self.seconds + time.monotonic() - start, 1)
            self._write()

    def write_file(self, path: Path, text: str) -> None:
        """Write an option file, unless somebody has changed it since an earlier call wrote it.

        Args:
            path: The file.
            text: Its content.
        """
        written = self._content['files'].get(path.name)
        if path.exists() and path.read_text(encoding='utf-8') != written:
            print(f'{path}: was changed; used as it is')
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # In this order: after a kill in between, the file is right and taken for a changed one.
        write_text(path, text)
        self._content['files'][path.name] = text
        self._write()


def check_folder(out: Path, settings: Settings) -> dict[str, Any]:
    """Read the record of an output folder, which need not exist.

    Args:
        out: The folder.
        settings: The arguments of this call.

    Returns:
        ``settings``; ``seconds`` that earlier calls have taken; ``files``, the option files that
        they have written, by name.

    Raises:
        OptionError: The folder was made with other arguments, or holds something else.
    """
    path = out / _RECORD
    wanted = dataclasses.asdict(settings)
    wanted['teachers'] = list(settings.teachers)
    if path.is_file():
        content = _read(path)
        _refuse_other(content['settings'], wanted, out)
        return {**content, 'settings': wanted}
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(
            f"{spelled('out')}: '{out}' exists and was not made by mtkd distill; expected a new "
            'folder, or that of an earlier call'
        )
    return {'settings': wanted, 'seconds': 0.0, 'files': {}}


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        return {
            'settings': dict(content['settings']),
            'seconds': float(content['seconds']),
            'files': dict(content['files']),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(
            f"{spelled('out')}: '{path}' cannot be read ({error}); expected the record of an "
            'earlier call: restore it, or choose another folder'
        ) from error


def _refuse_other(made_with: dict[str, Any], wanted: dict[str, Any], out: Path) -> None:
    """Raise if a folder was made with other arguments than those of this call.

    More hours are no difference until the training has begun, and none afterwards: its number of
    iterations is in its option file.
    """
    for keyword, value in wanted.items():
        if keyword != 'hours' and made_with.get(keyword) != value:
            raise OptionError(
                f"{spelled(keyword)}: {value!r}, but '{out}' was made with "
                f'{made_with.get(keyword)!r}; choose the same, or another {spelled("out")}'
            )
