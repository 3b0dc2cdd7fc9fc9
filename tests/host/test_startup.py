"""What is imported when: the command answers at once, and ``import mtkd_basicsr`` registers as
ever.
"""

import os
import re
import subprocess
import sys

import cv2
import pytest
from conftest import run

import mtkd_basicsr
from mtkd_basicsr.commands._table import COMMANDS
from mtkd_basicsr.commands.export import run as export
from mtkd_basicsr.data.cache.format import array_names
from mtkd_basicsr.data.cache.key import CacheInput, CacheKey
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.host import startup
from mtkd_basicsr.utils.choices import CACHE_CONTENTS, EXPORT_FORMATS

HEAVY = {
    'torch',
    'torchvision',
    'basicsr',
    'numpy',
    'cv2',
    'scipy',
    'matplotlib',
    'skimage',
    'lmdb',
    'pytorch_wavelets',
    'tqdm',
    'yaml',
}
WRONG = (
    [],
    ['trian'],
    ['train'],
    ['train', '-opt', 'none.yml'],
    ['train', '-opt', 'x', '--no-such-thing'],
    ['train', '-opt', 'x', '--launcher', 'mpi'],
    ['cache', '-opt', 'x', '--tile', 'all'],
    ['cache', '-opt', 'x', '--what', 'all'],
    ['compare', '-opt', 'x', '--list', '--report-only'],
    ['compare', '-opt', 'none.yml', '--report-only'],
    ['data', 'folder'],
    ['data', 'folder', '--out', 'x', '--verify', 'Set6'],
    ['options'],
    ['options', '--out', 'x', '--scale', '5'],
    ['upscale', '--weights', 'x'],
    ['export', '--format', 'onix'],
    ['demo', '--fast'],
    ['compare', '-opt', __file__, '--jobs', '0'],
    ['cache', '-opt', __file__, '--tile', '4'],
    ['upscale', 'x.png', '--weights', 'x', '--tile', '3'],
    ['upscale', 'x.png', '--weights', 'x', '--tile-overlap', '-1'],
    ['export', '--half', '--format', 'torchscript'],
)


def imported(arguments, cwd):
    """Top-level packages that a Python process imports, its exit status, and what it prints."""
    process = subprocess.run(
        [sys.executable, '-X', 'importtime', *arguments], cwd=cwd, text=True, capture_output=True
    )
    lines = re.findall(r'^import time: +\d+ \| +\d+ \| +([\w.]+)$', process.stderr, re.MULTILINE)
    assert 'mtkd_basicsr' in lines, process.stderr
    printed = re.sub(r'^import time:.*\n', '', process.stderr, flags=re.MULTILINE) + process.stdout
    return {name.split('.')[0] for name in lines}, process.returncode, printed


@pytest.fixture
def script(tmp_path):
    """The script that pip makes of our entry point."""
    path = tmp_path / 'mtkd'
    path.write_text(
        'import sys\nfrom mtkd_basicsr.commands.cli import main\nif __name__ == "__main__":\n    '
        'sys.exit(main())\n'
    )
    return [str(path)]


@pytest.mark.parametrize('command', [None, *COMMANDS])
@pytest.mark.parametrize('how', ['script', 'module'])
def test_help_imports_nothing_heavy(command, how, script, tmp_path):
    start = script if how == 'script' else ['-m', 'mtkd_basicsr']
    names, status, printed = imported([*start, *([command] if command else []), '--help'], tmp_path)
    assert status == 0
    assert printed.startswith(f'usage: mtkd {command or "["}')
    assert not names & HEAVY


@pytest.mark.parametrize('arguments', [*WRONG, ['--version']], ids=' '.join)
def test_usage_errors_import_nothing_heavy(arguments, script, tmp_path):
    names, status, printed = imported([*script, *arguments], tmp_path)
    if arguments == ['--version']:
        assert (status, printed) == (0, f'{mtkd_basicsr.__version__}\n')
    else:
        assert status == (1 if {'none.yml', __file__, 'x.png', '--half'} & set(arguments) else 2)
        assert 'mtkd' in printed
        assert 'Traceback' not in printed
    assert not names & HEAVY


def test_option_files_are_written_without_torch(script, tmp_path):
    names, status, printed = imported(
        [*script, 'options', '--out', 'mine', '--scale', '4'], tmp_path
    )
    assert status == 0
    assert 'option files in' in printed
    assert not names & {'torch', 'torchvision', 'basicsr'}


def test_folders_are_made_without_torch_by_workers_too(script, photographs, tmp_path):
    arguments = ['data', str(photographs / 'train' / 'GT'), '--out', 'mine', '--workers', '2']
    process = subprocess.run(
        [sys.executable, *script, *arguments],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPROFILEIMPORTTIME': '1'},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    # Lines of two processes that write at once run into each other, and a quick first worker leaves
    # the second nothing.
    names = re.findall(r'\| +([a-zA-Z_][\w.]*)', process.stderr)
    assert names.count('mtkd_basicsr.commands.prepare_data.process') >= 2  # here, and in a worker
    assert not {name.split('.')[0] for name in names} & {'torch', 'torchvision', 'basicsr'}


def test_workers_of_a_script_import_no_torch_either(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / 'images').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'images' / f'{name}.png'), load('rocket')[:24, :24])
    (tmp_path / 'program.py').write_text(
        'import sys\n'
        'from mtkd_basicsr.commands import prepare_data\n'
        'with open("torch.txt", "a") as file:\n'
        '    file.write(f"{__name__} {\'torch\' in sys.modules}\\n")\n'
        'if __name__ == "__main__":\n'
        '    prepare_data("images", "out", scales=[2], workers=2)\n'
    )
    run([sys.executable, 'program.py'], tmp_path)
    found = sorted((tmp_path / 'torch.txt').read_text().splitlines())
    assert found == ['__main__ True', '__mp_main__ False', '__mp_main__ False']


@pytest.mark.parametrize('name', ['program.py', 'cli.py', '__main__.py', 'mtkd.py'])
def test_importing_the_package_registers_in_any_program(name, tmp_path):
    (tmp_path / name).write_text(
        'import mtkd_basicsr\n'
        'from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, '
        'MODEL_REGISTRY\n'
        'registries = (ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY)\n'
        'for name in mtkd_basicsr.__all__:\n'
        '    assert sum(name in registry for registry in registries) == 1, name\n'
        '    assert getattr(mtkd_basicsr, name).__name__ == name\n'
    )
    run([sys.executable, name], tmp_path)


def test_public_names_are_there_in_our_own_command(script, tmp_path):
    (tmp_path / 'mtkd').write_text(
        'import sys  # mtkd_basicsr.commands.cli\n'
        'import mtkd_basicsr\n'
        'assert "torch" not in sys.modules\n'
        'assert mtkd_basicsr.DCTSwin.__name__ == "DCTSwin"\n'
        'from basicsr.utils.registry import MODEL_REGISTRY\n'
        'assert "MTKDModel" in MODEL_REGISTRY\n'
        'try:\n'
        '    mtkd_basicsr.Nothing\n'
        'except AttributeError as error:\n'
        '    print(error)\n'
    )
    assert (
        run([sys.executable, *script], tmp_path, fresh=True)
        == "module 'mtkd_basicsr' has no attribute 'Nothing'\n"
    )


def test_our_command_is_known_by_its_arguments(monkeypatch, tmp_path):
    cases = (
        (['/env/bin/mtkd', 'train'], [], True),
        (['mtkd.exe'], [], True),
        (['/site-packages/mtkd_basicsr/__main__.py', 'data'], [], True),
        (['-m'], ['python', '-u', '-m', 'mtkd_basicsr', 'train'], True),
        (['-m'], ['python', '-m', 'mtkd_basicsr.other'], False),
        (['-m'], ['python', '-m', 'pytest', '-m', 'mtkd_basicsr'], False),
        (['-c'], ['python', '-c', 'import mtkd_basicsr'], False),
        (['basicsr/train.py', '-opt', 'mtkd'], [], False),
        (['/other/__main__.py'], [], False),
        (['mtkd.py'], [], False),
        ([''], [], False),
        ([], [], False),
    )
    programs = {
        'ours': 'from mtkd_basicsr.commands.cli import main\n',
        'theirs': 'import mtkd_basicsr\n',
    }
    for name, text in programs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / 'mtkd').write_text(text)
    cases += (
        ([str(tmp_path / 'ours' / 'mtkd')], [], True),
        ([str(tmp_path / 'theirs' / 'mtkd')], [], False),
    )
    for argv, original, expected in cases:
        monkeypatch.setattr(sys, 'argv', argv)
        monkeypatch.setattr(sys, 'orig_argv', original)
        assert startup.is_our_command() is expected, (argv, original)


def test_choices_are_those_of_the_code():
    assert tuple(export.FORMATS) == tuple(EXPORT_FORMATS)
    names = {what: array_names(CacheKey(what, 2, {'a': CacheInput({})})) for what in CACHE_CONTENTS}
    assert names == {'target': ['lq', 'gt', 'target'], 'teachers': ['lq', 'gt', 'teacher/a']}
    helps = [command.HELP for command in COMMANDS.values()]
    assert all(helps)
    assert len(set(helps)) == len(helps)
