"""Inputs that BasicSR would move away when a training or a test begins."""

import os
from collections.abc import Iterator
from typing import Any

from ..config import TrainingConfig
from ..host.command_line import command_line
from ..host.resume import moves_folder_aside
from ..utils.paths import expanded
from .findings import Findings


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of nested options with their keys."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f'{key}.{name}' if key else str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)
    elif isinstance(value, str):
        yield key, value


def _lies_in(path: str, folder: str) -> bool:
    """Return whether a file or folder would be moved with another folder."""
    places = (os.path.abspath(path), os.path.realpath(path))
    folders = (os.path.abspath(folder), os.path.realpath(folder))
    return os.path.exists(path) and any(
        place.startswith(parent + os.sep) for place in places for parent in folders
    )


def _inputs(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    """Yield the texts of options that may be files, with their keys."""
    for key, text in _texts(config.options, ''):
        # BasicSR adds other paths, of results.
        if not key.startswith('path.') or key == 'path.pretrain_network_g':
            yield key, text


def check_own_folder(config: TrainingConfig, findings: Findings) -> None:
    """Check that no file of the options lies in the folder of the experiment.

    BasicSR renames that folder when a training of the same name begins, after all checks; also
    one that goes on from the state of another experiment. A training that goes on with its own
    leaves it where it is.

    Args:
        config: Options of a training, as parsed by BasicSR.
        findings: Results are added to it.

    Raises:
        WeightsError: The state that the training resumes from cannot be read.
    """
    options = config.options
    folder = options['path']['experiments_root']
    if not os.path.isdir(folder) or not moves_folder_aside(options, options['auto_resume']):
        return
    for key, text in [('-opt', command_line().opt or ''), *_inputs(config)]:
        if _lies_in(expanded(text), folder):
            findings.error(
                f"{key}: '{text}' lies in the folder of the experiment of this name, which is "
                'moved aside when a training begins; use another name, put it elsewhere, or go on '
                'with the experiment (--auto_resume)'
            )


def check_own_results(config: TrainingConfig, findings: Findings) -> None:
    """Check that no file of the options lies in the folder of the results of a test.

    BasicSR renames that folder when a test of the same name begins, after all checks. The option
    file is read before that, and may lie there.

    Args:
        config: Options of a test, as parsed by BasicSR.
        findings: Results are added to it.
    """
    folder = config.options['path'].get('results_root')
    if folder is None:
        return
    for key, text in _inputs(config):
        if _lies_in(expanded(text), folder):
            findings.error(
                f"{key}: '{text}' lies in the folder of the results of this name, which is moved "
                'aside when a test begins; use another name, or put it elsewhere'
            )
