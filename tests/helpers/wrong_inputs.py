"""What wrong inputs are made with, and how a command ends that gets one.

The inputs are in wrong_input_rows.py.
"""

import contextlib
import functools
import io
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import cv2
import torch
import yaml
from conftest import options_for, override, tiny, write_options, write_photographs, write_weights

from helpers.found import GONE as GONE
from mtkd_basicsr.commands import cli

USAGE = SystemExit  # what argparse ends with


@dataclass(frozen=True)
class Row:
    """One wrong input.

    Attributes:
        what (str): For people.
        arguments (str): Of ``mtkd``, parted at spaces.
        kind (type): Of the error.
        text (str): A part of what is said.
        make: Makes the input in the current folder, a copy of the workshop's.
        keeps (str | None): A folder that the command has made on purpose: what is not wrong is
            done.
    """

    what: str
    arguments: str
    kind: type
    text: str
    make: Callable = lambda: None
    keeps: str = None

    def __str__(self):
        return f'{self.what} (mtkd {self.arguments.partition(" ")[0]})'


class RunsCode:
    """What a stranger puts into a checkpoint."""

    def __reduce__(self):
        return os.system, ('touch EXECUTED',)


def workshop(folder):
    """Writes images, weights and nothing wrong into a folder."""
    write_photographs(folder)
    options_for(folder, folder, 'MTKDModel')
    write_weights(
        folder / 'student.pth',
        tiny('EDSR', 2),
        3,
        mtkd={'network': tiny('EDSR', 2), 'scale': 2, 'version': '0'},
    )
    shutil.copy(folder / 'val/LRx2/chelsea.png', folder / 'cat.png')
    (folder / 'file').write_text('A file that is no folder.\n')


@functools.cache
def _tree(model):
    with tempfile.TemporaryDirectory() as folder:  # for its weights, which the workshop has
        return options_for(Path(), Path(folder), model), folder + os.sep


def tree(model):
    """Options of a good training in the workshop."""
    opt, folder = _tree(model)
    return yaml.safe_load(yaml.safe_dump(opt, sort_keys=False).replace(folder, ''))


def options(model='MTKDModel', base=None, **changes):
    """Makes ``options.yml``: a good one of a model, with changes at paths like ``train__kd``;
    ``GONE`` takes a key out.
    """

    def make():
        opt = tree(model)
        if base == 'test':
            opt['datasets'] = {'test': opt['datasets']['val']}
            opt['path'] = {'pretrain_network_g': 'student.pth', 'strict_load_g': True}
            opt = {
                key: value
                for key, value in opt.items()
                if key not in ('train', 'logger', 'teachers', 'fusion')
            }
        for path, value in changes.items():
            *blocks, last = path.split('__')
            if value is GONE:
                block = opt
                for key in blocks:
                    block = block[key]
                del block[last]
            else:
                override(opt, {path: value})
        write_options('options.yml', opt)

    return make


def plan(**changes):
    """Makes ``plan.yml``: a good one, with changes."""

    def make():
        common = tree('KDModel')
        for key in ('name', 'manual_seed', 'scale', 'network_g'):
            del common[key]
        common['datasets']['train']['gt_size'] = '{gt_size}'
        content = {
            'name': 'tiny',
            'scales': [2],
            'seeds': [0],
            'lq_size': 16,
            'options': common,
            'students': {'EDSR': {'network_g': tiny('EDSR', 2)}},
            'methods': {'scratch': {'train': {'kd': {'type': 'Scratch'}}}},
            'test': {'two': {'dataroot_gt': 'val/GT', 'dataroot_lq': 'val/LRx2'}},
        }
        Path('plan.yml').write_text(yaml.safe_dump(override(content, changes), sort_keys=False))

    return make


def raw(content, name='options.yml'):
    """Makes a file of these bytes or characters."""
    return lambda: Path(name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def both(*makers):
    """Makes one after the other."""

    def make():
        for maker in makers:
            maker()

    return make


def cut(path, size=0.5):
    """Makes a file that ends in the middle."""

    def make():
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: int(len(content) * size)])

    return make


def folder_at(path):
    """Makes a folder where a file stood."""

    def make():
        Path(path).unlink()
        Path(path).mkdir()

    return make


def saved(path, content, **how):
    """Makes a file by ``torch.save``."""
    return lambda: torch.save(content, path, **how)


def weights(path, arch, scale=2, **changes):
    """Makes weights of a network."""
    return lambda: write_weights(path, tiny(arch, scale, **changes))


def with_value(value):
    """Makes weights of which one has this value."""

    def make():
        content = torch.load('edsr.pth', weights_only=True)
        content['params']['conv_first.weight'][0, 0, 0, 0] = value
        torch.save(content, 'edsr.pth')

    return make


def named_as_in_the_options():
    shutil.copy('EDSR_x2.pth', 'edsr.pth')


def picture(path, image):
    return lambda: cv2.imwrite(path, image)


def snapshot(folder, without=None):
    """Names, kinds, sizes, times and contents of everything below a folder."""
    found = {}
    for path in sorted(Path(folder).rglob('*')):
        name = path.relative_to(folder)
        if without is None or name.parts[0] != without:
            content = (
                sha256(path.read_bytes()).hexdigest()
                if path.is_file()
                else os.readlink(path)
                if path.is_symlink()
                else None
            )
            found[str(name)] = path.lstat().st_mode, path.lstat().st_mtime_ns, content
    return found


@dataclass
class Outcome:
    """How a command ended: type of what it raised, exit status, what it printed."""

    kind: type
    status: int
    printed: str


def outcome(arguments):
    """Runs ``mtkd`` in this process and folder.

    Args:
        arguments (list[str]): Of the command.

    Returns:
        Outcome: Of the command.
    """
    kinds = []
    run = cli.dispatch
    handler = signal.getsignal(signal.SIGTERM)
    printed = io.StringIO()

    def watched(args):
        try:
            run(args)
        except BaseException as error:
            kinds.append(type(error))
            raise

    with (
        patch.dict(os.environ),
        patch.object(cli, 'dispatch', watched),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            status = cli.main(arguments)
        except SystemExit as error:
            status = error.code
            kinds.append(SystemExit)
        finally:
            signal.signal(signal.SIGTERM, handler)
    return Outcome(kinds[0] if kinds else None, status, printed.getvalue())
