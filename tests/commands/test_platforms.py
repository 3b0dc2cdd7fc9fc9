"""Where Windows and macOS differ from Linux: what they lack is hidden, and what they refuse is
refused.
"""

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, mtkd, options_for, run, with_cache, write_options

from mtkd_basicsr.checks import cost
from mtkd_basicsr.data.cache.format import data_file, state_of
from mtkd_basicsr.data.cache.reader import CacheReader, is_mapped
from mtkd_basicsr.utils.atomic import save_atomically

PACKAGE = ROOT / 'mtkd_basicsr'
linux = pytest.mark.skipif(sys.platform != 'linux', reason='hides what Linux has')

# Python runs a file of this name whenever it starts. It leaves a mark in $SPAWNED for each process
# that was spawned.
SPAWN = """
import multiprocessing
import os
import sys

multiprocessing.set_start_method('spawn')
if any('multiprocessing.spawn' in part for part in sys.orig_argv):
    open(os.path.join(os.environ['SPAWNED'], str(os.getpid())), 'w').close()
"""
WINDOWS = (
    SPAWN
    + """
import shutil
import signal

for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'):
    sys.modules[name] = None
for name in ('fork', 'forkpty', 'getuid', 'geteuid', 'getpgid', 'killpg', 'sched_getaffinity'):
    delattr(os, name)
for name in ('SIGKILL', 'SIGHUP', 'SIGALRM', 'SIGUSR1'):
    delattr(signal, name)
shutil._use_fd_functions = False


def _refuse_folders(original):
    def checked(path, *arguments, **more):
        if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return original(path, *arguments, **more)
    return checked


def _is_open(path):
    for number in os.listdir('/proc/self/fd'):
        try:
            if os.path.samefile(f'/proc/self/fd/{number}', path):
                return True
        except OSError:
            pass
    with open('/proc/self/maps', encoding='utf-8') as file:
        return os.path.realpath(path) in file.read()


def _refuse_open_files(original):
    def checked(*paths, **more):
        for path in paths:
            if isinstance(path, (str, os.PathLike)) and os.path.isfile(path) and _is_open(path):
                raise PermissionError(13, 'The process cannot access the file', os.fspath(path))
        return original(*paths, **more)
    return checked


os.open = _refuse_folders(os.open)
for name in ('replace', 'rename', 'remove', 'unlink'):
    setattr(os, name, _refuse_open_files(getattr(os, name)))
"""
)
IMPORT_ALL = """
import importlib
import pkgutil
import mtkd_basicsr
for module in pkgutil.walk_packages(mtkd_basicsr.__path__, 'mtkd_basicsr.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
        print(module.name)
"""


@pytest.fixture
def system(tmp_path):
    """Gives the environment of processes that start with one of the texts above, and the folder of
    their marks.
    """

    def environment(text, *paths):
        folder = tmp_path / 'site'
        marks = tmp_path / 'spawned'
        folder.mkdir()
        marks.mkdir()
        (folder / 'sitecustomize.py').write_text(text, encoding='utf-8')
        return {'PYTHONPATH': os.pathsep.join(map(str, (folder, *paths))), 'SPAWNED': str(marks)}

    return environment


def spawned(environment):
    """How many processes were spawned; the marks go."""
    marks = list(Path(environment['SPAWNED']).iterdir())
    for mark in marks:
        mark.unlink()
    return len(marks)


@pytest.mark.slow
@linux
def test_every_module_imports_without_what_windows_lacks(system, tmp_path):
    printed = run([sys.executable, '-c', IMPORT_ALL], tmp_path, **system(WINDOWS))
    names = {
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in PACKAGE.rglob('*.py')
        if path.name not in ('__init__.py', '__main__.py')
    }
    assert names <= set(printed.split())


@pytest.mark.slow
@linux
def test_commands_run_without_what_windows_lacks(photographs, system, tmp_path):
    windows = system(WINDOWS)
    assert '3 images' in mtkd(
        'data',
        photographs / 'train' / 'GT',
        '--out',
        'data',
        '--workers',
        '2',
        cwd=tmp_path,
        **windows,
    )
    assert spawned(windows) >= 2
    opt = with_cache(
        options_for(photographs, tmp_path, 'MTKDModel', datasets__train__num_worker_per_gpu=2),
        tmp_path / 'c.lmdb',
    )
    options = write_options(tmp_path / 'opt.yml', opt)

    scratch = write_options(
        tmp_path / 'scratch.yml',
        options_for(photographs, tmp_path, 'KDModel', train__kd={'type': 'Scratch'}),
    )
    printed = mtkd('check', '-opt', scratch, cwd=tmp_path, **windows)
    assert 'without data loading and validation' in printed
    assert 'of memory' not in printed

    printed = mtkd('cache', '-opt', options, '--workers', '2', cwd=tmp_path, **windows)
    assert 'is written without a lock (this system has no record locks)' in printed
    assert spawned(windows) >= 2
    assert state_of(tmp_path / 'c.lmdb') == 'complete'
    assert not (tmp_path / 'c.lmdb.partial').exists()
    assert 'is complete and matches its checksums' in mtkd(
        'cache', '-opt', options, '--verify', cwd=tmp_path, **windows
    )

    content = bytearray(Path(data_file(tmp_path / 'c.lmdb')).read_bytes())
    target = CacheReader(tmp_path / 'c.lmdb').array(1, 'target').tobytes()
    content[content.index(target[:64]) + 5000] ^= 255
    shutil.rmtree(tmp_path / 'c.lmdb')
    (tmp_path / 'c.lmdb').mkdir()
    Path(data_file(tmp_path / 'c.lmdb')).write_bytes(content)
    printed = mtkd(
        'cache', '-opt', options, '--overwrite', '--workers', '0', cwd=tmp_path, **windows
    )
    assert 'is damaged: 1 of 3 images: target of' in printed
    assert 'is complete and matches its checksums' in mtkd(
        'cache', '-opt', options, '--verify', cwd=tmp_path, **windows
    )

    spawned(windows)
    printed = mtkd('train', '-opt', options, cwd=tmp_path, **windows)
    assert 'no teacher is needed' in printed
    assert 'End of training' in printed
    assert spawned(windows) >= 2
    assert (tmp_path / 'experiments' / 'test_MTKDModel' / 'models' / 'net_g_latest.pth').is_file()


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ('command', 'kind'),
    [
        ('mtkd', 'DistillImageDataset'),
        ('mtkd', 'PairedImageDataset'),
        ('train.py', 'DistillImageDataset'),
    ],
)
def test_spawned_workers_train(command, kind, cached, basicsr_tree, system, tmp_path):
    opt = cached['MTKDModel']
    opt['datasets']['train'].update(num_worker_per_gpu=2, type=kind)
    if kind == 'PairedImageDataset':
        del opt['datasets']['train']['target_cache']
    options = write_options(tmp_path / 'opt.yml', opt)
    environment = system(SPAWN, *([basicsr_tree] if command == 'train.py' else []))
    start = (
        ['-m', 'mtkd_basicsr', 'train']
        if command == 'mtkd'
        else [basicsr_tree / 'basicsr' / 'train.py']
    )
    printed = run(
        [
            sys.executable,
            *start,
            '-opt',
            options,
            '--force_yml',
            f'name=spawned_{command[:4]}_{kind}',
        ],
        tmp_path,
        **environment,
    )
    assert 'End of training' in printed
    assert spawned(environment) >= 2
    assert ('no teacher is needed' in printed) == (kind == 'DistillImageDataset')


def test_folders_that_cannot_be_synced_are_no_error(
    photographs, cached, here, tmp_path, monkeypatch
):
    original = os.open

    def refuse(path, *arguments, **more):
        if os.path.isdir(path) and 'dir_fd' not in more and arguments == (os.O_RDONLY,):
            refused.append(path)
            raise PermissionError(13, 'Permission denied')
        return original(path, *arguments, **more)

    refused = []
    monkeypatch.setattr(os, 'open', refuse)
    save_atomically({'a': 1}, tmp_path / 'a.pth')
    assert refused == [str(tmp_path)]
    assert [p.name for p in tmp_path.glob('a.pth*')] == ['a.pth']
    cached['MTKDModel']['datasets']['train']['target_cache'] = str(tmp_path / 'new.lmdb')
    here(
        'cache', '-opt', write_options(tmp_path / 'new.yml', cached['MTKDModel']), '--workers', '0'
    )
    assert len(refused) >= 3
    assert len(CacheReader(tmp_path / 'new.lmdb').manifest['images']) == 3


def test_memory_is_read_in_the_unit_of_the_system(monkeypatch):
    cpu = cost.torch.device('cpu')
    in_kib = cost.peak_memory(cpu)
    assert in_kib is None or 1 << 24 < in_kib < 1 << 40
    if cost.resource is not None:
        monkeypatch.setattr(sys, 'platform', 'linux')
        as_linux = cost.peak_memory(cpu)
        monkeypatch.setattr(sys, 'platform', 'darwin')
        assert cost.peak_memory(cpu) == pytest.approx(as_linux / 1024, rel=0.1)
    monkeypatch.setattr(cost, 'resource', None)
    assert cost.peak_memory(cpu) is None


@pytest.mark.parametrize(
    'path', sorted(PACKAGE.rglob('*.py')), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_texts_are_read_and_written_as_utf_8(path):
    """Windows takes another encoding where none is named."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, 'id', None) or getattr(node.func, 'attr', None)
        named = any(keyword.arg == 'encoding' for keyword in node.keywords)
        mode = [value.value for value in node.args[1:2] if isinstance(value, ast.Constant)]
        # `write_text` alone is that of utils/atomic.py, which writes UTF-8.
        of_a_path = name in ('read_text', 'write_text') and isinstance(node.func, ast.Attribute)
        if of_a_path or (name == 'open' and isinstance(node.func, ast.Name)):
            assert named or 'b' in ''.join(mode), (
                f'{path.name}, line {node.lineno}: {ast.unparse(node)}'
            )
        if any(keyword.arg in ('text', 'universal_newlines') for keyword in node.keywords):
            assert named, f'{path.name}, line {node.lineno}: {ast.unparse(node)}'


def test_names_in_a_cache_have_slashes(cached, monkeypatch, tmp_path):
    from mtkd_basicsr.data import image_names

    class Dataset:
        paths = [{'gt_path': str(tmp_path / 'a' / 'b.png')}]
        io_backend_opt = {'type': 'disk'}

    monkeypatch.setattr(image_names.os, 'sep', '\\')
    monkeypatch.setattr(image_names.os.path, 'relpath', lambda path, root: 'a\\b.png')
    assert image_names.image_names(Dataset(), str(tmp_path)) == ['a/b.png']


def test_a_cache_that_this_process_reads_is_replaced(cached, here, tmp_path, monkeypatch):
    """Windows replaces no file that is open: the map of the old cache has to be closed before."""
    original = os.replace
    refused = []

    def refuse(source, target):
        is_cache = str(target).endswith('data.mdb') and os.path.isfile(target)
        if is_cache and is_mapped(os.path.dirname(target)):
            refused.append(target)
            raise PermissionError(13, 'The process cannot access the file', target)
        original(source, target)

    monkeypatch.setattr(os, 'replace', refuse)
    path = cached['MTKDModel']['datasets']['train']['target_cache']
    reader = CacheReader(path)
    here(
        'cache',
        '-opt',
        tmp_path / 'MTKDModel.yml',
        '--overwrite',
        '--self-ensemble',
        '--workers',
        '0',
    )
    assert len(refused) == 1
    assert CacheReader(path).id != reader.id
