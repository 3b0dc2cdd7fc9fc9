"""Whatever is wrong with an input: an error of ours that names key or file, no traceback, and
nothing created or changed.

``PYTHONPATH=tests python tests/checks/test_bad_input.py`` prints the table of all rows.
"""

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import mtkd
from helpers.wrong_input_rows import CACHE, CHECK, FILES, ROWS, STRUCTURE, TEST, VALUES
from helpers.wrong_inputs import (
    GONE,
    USAGE,
    RunsCode,
    options,
    outcome,
    raw,
    saved,
    snapshot,
    workshop,
)

from mtkd_basicsr.checks import networks
from mtkd_basicsr.commands.cli import COMMANDS
from mtkd_basicsr.errors import MTKDError, OptionError


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp('workshop')
    workshop(folder)
    return folder


@pytest.fixture
def copied(template, tmp_path, monkeypatch):
    """A copy of the workshop, which is the current folder."""
    folder = tmp_path / 'here'
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


def end_of(row):
    """Makes the input of a row in the current folder, and gives how the command ends, and both
    snapshots.
    """
    row.make()
    before = snapshot('.', row.keeps)
    result = outcome(row.arguments.split())
    return result, before, snapshot('.', row.keeps)


@pytest.mark.parametrize('row', ROWS, ids=str)
def test_wrong_input_is_named_and_nothing_is_changed(row, copied):
    result, before, after = end_of(row)
    assert row.text in result.printed
    assert 'Traceback' not in result.printed
    assert (result.kind, result.status) == (row.kind, 2 if row.kind is USAGE else 1)
    assert row.kind is USAGE or issubclass(row.kind, MTKDError)
    assert after == before, 'something was created or changed'
    assert (
        not any(os.path.exists(name) for name in ('EXECUTED', 'results', 'experiments'))
        or 'in the place of' in row.what
    )


def test_there_are_enough_rows_for_every_command():
    commands = [row.arguments.split()[0] for row in ROWS if row.arguments]
    assert len(ROWS) >= 200
    for name in COMMANDS:
        assert commands.count(name) >= 2, name
    assert len({(row.what, row.arguments) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ('what', 'changes', 'text'),
    STRUCTURE + VALUES,
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_check_lists_what_is_wrong(what, changes, text, copied, monkeypatch):
    # how good the teachers are is no matter here
    monkeypatch.setattr(networks, 'center_crops', lambda opt: [])
    options(**changes)()
    before = snapshot('.')
    # The others are found without the two steps; this one when the model is built for them.
    steps = '' if what == 'perceptual_opt' else ' --no-steps'
    result = outcome(f'{CHECK}{steps}'.split())
    errors = [line for line in result.printed.splitlines() if line.startswith('ERROR')]
    assert any(text in line for line in errors), result.printed
    assert (result.kind, result.status) == (SystemExit, 1)
    assert 'Traceback' not in result.printed
    assert snapshot('.') == before


@pytest.mark.parametrize(
    'row', [row for row in ROWS if row.what.startswith('resuming: ')], ids=lambda row: row.what
)
def test_check_says_what_cannot_be_resumed(row, copied):
    row.make()
    result = outcome(f'{CHECK} --no-steps'.split())
    errors = [line for line in result.printed.splitlines() if line.startswith('ERROR')]
    assert any(row.text in line for line in errors), result.printed
    assert 'Traceback' not in result.printed


def test_check_lists_all_that_is_wrong_at_once(copied):
    options(path=GONE, name='a/b', num_gpu=-1, train__total_iter=0)()
    printed = outcome(CHECK.split()).printed
    assert [line.split()[1] for line in printed.splitlines() if line.startswith('ERROR')] == [
        'name:',
        'num_gpu:',
        'path:',
    ]


@pytest.mark.parametrize('command', [CACHE, TEST, CHECK])
def test_other_commands_read_files_as_train_does(command, copied):
    for what, content, text in FILES:
        if isinstance(content, (str, bytes)):
            raw(content)()
            before = snapshot('.')
            result = outcome(command.split())
            assert text in result.printed, what
            assert result.kind is OptionError, what
            assert result.status == 1, what
            assert snapshot('.') == before, what
    for what, changes, text in STRUCTURE if command == CACHE else ():
        options(**changes)()
        result = outcome(command.split())
        assert text in result.printed, what
        assert result.kind is OptionError, what


@pytest.mark.slow
@pytest.mark.parametrize(
    'row',
    [
        next(row for row in ROWS if row.what == what)
        for what in (
            'options: no path',
            'weights of a teacher: a pickle that runs code',
            '--safe: a call',
        )
    ],
    ids=str,
)
def test_a_process_of_its_own_prints_no_traceback(row, copied):
    row.make()
    before = snapshot('.')
    printed = mtkd(*row.arguments.split(), cwd=copied, expect=1)
    assert row.text in printed
    assert 'Traceback' not in printed
    assert snapshot('.') == before


def test_the_pickles_of_the_rows_are_armed(copied, monkeypatch):
    for how in ({}, {'_use_new_zipfile_serialization': False}):
        saved('evil.pth', {'params': RunsCode()}, **how)()
        torch.load('evil.pth', weights_only=False)
        assert os.path.exists('EXECUTED'), 'a row with this file would prove nothing'
        os.remove('EXECUTED')


def test_what_basicsr_would_drop_is_a_warning(copied):
    options('KDModel', train__kd={'type': 'Scratch'})()
    image = cv2.imread('train/GT/moon.png')
    cv2.imwrite('train/GT/moon.png', image.astype(np.uint16) * 257)
    cv2.imwrite(
        'val/LRx2/coffee.png',
        np.dstack([cv2.imread('val/LRx2/coffee.png'), np.full((30, 42), 200, np.uint8)]),
    )
    cv2.imwrite('train/GT/brick.png', cv2.imread('train/GT/brick.png', cv2.IMREAD_GRAYSCALE))
    result = outcome(f'{CHECK} --no-steps'.split())
    warnings = [line[8:] for line in result.printed.splitlines() if line.startswith('WARNING')]
    assert warnings == [
        'datasets.train: 1 images with more than 8 bits or transparency, which BasicSR drops: '
        'train/GT/moon.png',
        'datasets.val: 1 images with more than 8 bits or transparency, which BasicSR drops: '
        'val/GT/coffee.png',
    ]
    assert result.status == 0


def table():
    """Lines of a Markdown table of all rows: input, command, type of the error, and the first line
    of what is said.
    """
    lines = ['| input | command | error | text |', '|---|---|---|---|']
    with tempfile.TemporaryDirectory() as folder:
        workshop(Path(folder) / 'workshop')
        start = os.getcwd()
        for i, row in enumerate(ROWS):
            shutil.copytree(Path(folder) / 'workshop', Path(folder) / str(i))
            os.chdir(Path(folder) / str(i))
            try:
                result, before, after = end_of(row)
            finally:
                os.chdir(start)
            said = next(line for line in reversed(result.printed.splitlines()) if row.text in line)
            kind = 'usage (exit status 2)' if row.kind is USAGE else result.kind.__name__
            cells = (
                row.what,
                f'mtkd {row.arguments}',
                kind,
                said.replace(str(Path(folder) / str(i)), '.'),
            )
            assert after == before, row
            assert result.kind is row.kind, row
            lines.append('| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |')
    return lines


if __name__ == '__main__':
    print('\n'.join(table()))
