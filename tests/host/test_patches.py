import importlib
import importlib.util
import inspect
import subprocess
import sys
import types

import pytest
import torch
from basicsr.data import degradations

from mtkd_basicsr.checks.preflight import check_options
from mtkd_basicsr.host import distributed, patches, scripts, startup


def python(arguments, code):
    return subprocess.run([sys.executable, *arguments, '-c', code], text=True, capture_output=True)


@pytest.mark.slow
def test_basicsr_can_be_imported_because_of_us():
    # -S: no .pth files are read, as in a source tree on PYTHONPATH; the second time with our
    # package before BasicSR.
    path = f'import sys; sys.path[:0] = {sys.path!r}; '
    # a line in a .pth file of setuptools brings back the distutils that BasicSR imports
    if sys.version_info >= (3, 12):
        path += 'import setuptools; '
    there = python(['-S'], path + 'import torchvision.transforms.functional_tensor').returncode == 0
    alone = python(['-S'], path + 'import basicsr')
    assert (alone.returncode == 0) == (
        there or 'functional_tensor' not in inspect.getsource(degradations)
    ), alone.stderr
    for code in (
        'import mtkd_basicsr, basicsr',
        'import mtkd_basicsr; import torchvision.transforms.functional_tensor',
    ):
        assert python(['-S'], path + code).returncode == 0


def test_the_finder_is_there_once():
    startup.install()
    patches.apply()
    assert [getattr(finder, '__name__', '') for finder in sys.meta_path].count('StandInFinder') == 1


def test_stand_in_has_all_that_the_old_module_had():
    name = 'torchvision.transforms.functional_tensor'
    module = importlib.import_module(name)
    if 'stand-in' not in module.__spec__.origin:
        pytest.skip('this torchvision has the module')
    from torchvision.transforms import _functional_tensor

    image = torch.rand(3, 4, 5)
    assert torch.equal(module.rgb_to_grayscale(image), _functional_tensor.rgb_to_grayscale(image))
    assert {n for n in vars(_functional_tensor) if not n.startswith('__')} <= set(vars(module))


def test_stand_in_for_the_alias_that_scipy_removes(monkeypatch):
    import scipy.ndimage

    name = 'scipy.ndimage.filters'
    spec = startup.StandInFinder.find_spec(name, scipy.ndimage.__path__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.convolve is scipy.ndimage.convolve


def test_a_clone_that_was_never_installed_has_a_version(tmp_path):
    for text, expected in (
        ('1.4.2\n', (1, 4, 2)),
        ('1.4.2.post1', (1, 4, 2, 'post1')),
        (None, ('unknown',)),
    ):
        if text is None:
            (tmp_path / 'VERSION').unlink()
        else:
            (tmp_path / 'VERSION').write_text(text)
        spec = startup.StandInFinder.find_spec('basicsr.version', [str(tmp_path / 'basicsr')])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.version_info == expected
        assert module.__version__ == (text or 'unknown').strip()
        assert module.__gitsha__ == 'unknown'
    assert startup.StandInFinder.find_spec('basicsr.other', [str(tmp_path)]) is None


@pytest.mark.slow
def test_pkg_resources_is_there_for_pytorch_wavelets_and_gone_after():
    code = (
        'import importlib.util, sys\n'
        'from mtkd_basicsr.host import patches\n'
        'before = "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is '
        'not None\n'
        'with patches.pkg_resources():\n'
        '    import pkg_resources, pytorch_wavelets\n'
        '    stream = pkg_resources.resource_stream("pytorch_wavelets.dtcwt.data", '
        '"near_sym_a.npz")\n'
        '    assert stream.read(2) == b"PK"\n'
        'after = "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is '
        'not None\n'
        'assert before == after, (before, after)'
    )
    result = python([], code)
    assert result.returncode == 0, result.stderr


def script(path):
    module = types.ModuleType('__main__')
    module.__file__ = str(path)
    module.load_resume_state = module.make_exp_dirs = lambda opt: 'original'
    module.get_env_info = lambda: 'environment'
    module.MessageLogger = module.CPUPrefetcher = object
    module.create_train_val_dataloader = lambda opt, logger: (range(4), None, [], 2, 12)
    return module


def test_scripts_of_basicsr_alone_are_repaired(tmp_path):
    (tmp_path / 'basicsr').mkdir()
    of_train = (
        'load_resume_state',
        'create_train_val_dataloader',
        'MessageLogger',
        'CPUPrefetcher',
    )
    names = (*of_train, 'make_exp_dirs', 'get_env_info')
    for name, changed in (
        ('basicsr/train.py', {*of_train, 'get_env_info'}),
        ('basicsr/test.py', {'make_exp_dirs', 'get_env_info'}),
        ('my_train.py', set()),
        ('my/train.py', set()),
    ):
        module = script(tmp_path / name)
        originals = {each: getattr(module, each) for each in names}
        scripts.repair(module, check_options)
        scripts.repair(module, check_options)
        assert {
            each for each in names if getattr(module, each) is not originals[each]
        } == changed, name
        if changed:
            lines = module.get_env_info().split('\n\t')
            assert lines[0] == 'environment'
            assert len([line for line in lines if line.startswith('mtkd_basicsr: ')]) == 1
            assert 'Note: the script is' in lines[-1]
        # 12 iterations in epochs of 4 steps.
        epochs = 3 if name == 'basicsr/train.py' else 2
        assert module.create_train_val_dataloader({}, None)[3] == epochs
    scripts.repair(None, check_options)


def test_processes_meet_on_gloo_only_where_there_is_no_gpu(monkeypatch):
    from basicsr.utils import dist_util

    called = []
    asked = []
    names = {'_init_dist_pytorch': 'init_gloo', '_init_dist_slurm': 'refuse_slurm'}
    monkeypatch.setattr(distributed, 'check_launched', called.append)
    for name, without_gpu in names.items():
        monkeypatch.setattr(
            dist_util, name, lambda backend, name=name: called.append((name, backend))
        )
        monkeypatch.setattr(
            patches, without_gpu, lambda backend, name=without_gpu: called.append((name, backend))
        )
    for gpu in (True, False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda gpu=gpu: asked.append(gpu) or gpu)
        patches.apply()
        patches.apply()
        # Workers that read images import this package, too, and have no use for a GPU.
        assert not asked
        for name, without_gpu in names.items():
            getattr(dist_util, name)('x')
            launcher = name.removeprefix('_init_dist_')
            assert called == ([launcher, (name, 'x')] if gpu else [(without_gpu, 'x')])
            called.clear()
        assert asked == 2 * [gpu]
        asked.clear()
