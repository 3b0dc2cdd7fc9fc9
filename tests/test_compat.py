import importlib.util
import subprocess
import sys
import types

import pytest
import torch

from mtkd_basicsr import compat, distributed, resume


def python(code):
    return subprocess.run([sys.executable, '-c', code], text=True, capture_output=True)


def test_basicsr_can_be_imported_because_of_us():
    there = python('import torchvision.transforms.functional_tensor').returncode == 0
    alone = python('import basicsr')
    assert (alone.returncode == 0) == there, alone.stderr
    assert python('import mtkd_basicsr, basicsr').returncode == 0


def test_a_module_that_is_there_is_left_alone(monkeypatch):
    real = types.ModuleType('torchvision.transforms.functional_tensor')
    monkeypatch.setitem(sys.modules, real.__name__, real)
    compat.apply()
    assert sys.modules[real.__name__] is real and not hasattr(real, 'rgb_to_grayscale')


def test_stand_in_does_what_basicsr_needs(monkeypatch):
    name = 'torchvision.transforms.functional_tensor'
    monkeypatch.delitem(sys.modules, name, raising=False)
    if importlib.util.find_spec(name) is not None:
        pytest.skip('this torchvision has the module')
    compat.apply()
    from torchvision.transforms.functional import rgb_to_grayscale
    assert sys.modules[name].rgb_to_grayscale is rgb_to_grayscale


def test_pkg_resources_is_there_for_pytorch_wavelets_and_gone_after():
    code = ('import importlib.util, sys\n'
            'from mtkd_basicsr import compat\n'
            'before = "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None\n'
            'with compat.pkg_resources():\n'
            '    import pkg_resources, pytorch_wavelets\n'
            '    stream = pkg_resources.resource_stream("pytorch_wavelets.dtcwt.data", "near_sym_a.npz")\n'
            '    assert stream.read(2) == b"PK"\n'
            'after = "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None\n'
            'assert before == after, (before, after)')
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_resume_is_repaired_in_the_training_script_only(tmp_path):
    script = types.ModuleType('__main__')
    script.__file__ = str(tmp_path / 'basicsr' / 'train.py')
    other = types.ModuleType('__main__')
    other.__file__ = str(tmp_path / 'my_train.py')
    for module in (script, other):
        module.load_resume_state = original = object()
        compat.fix_resume(module)
        expected = original if module is other else resume.load_resume_state
        assert module.load_resume_state is expected
    compat.fix_resume(None)


def test_processes_meet_on_gloo_only_where_there_is_no_gpu(monkeypatch):
    from basicsr.utils import dist_util
    originals = object(), object()
    for gpu in (True, False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda gpu=gpu: gpu)
        for name, original in zip(('_init_dist_pytorch', '_init_dist_slurm'), originals):
            monkeypatch.setattr(dist_util, name, original)
        compat.apply()
        expected = originals if gpu else (distributed.meet_on_cpu, distributed.refuse_slurm)
        assert (dist_util._init_dist_pytorch, dist_util._init_dist_slurm) == expected
