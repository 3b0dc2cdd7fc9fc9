"""Several GPUs without a launcher, on a machine that has none."""

import sys

import pytest
import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from conftest import parsed, write_options

from mtkd_basicsr.checks.preflight import check_options
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.one_gpu import use_one_gpu
from mtkd_basicsr.models import KDModel

COMMANDS = {
    'auto in the file': ('auto', [], 1),
    'auto on the command line': (4, ['--force_yml', 'num_gpu=auto', 'name=a'], 1),
    'a number in the file': (4, [], None),
    'a number on the command line': ('auto', ['--force_yml', 'num_gpu=4'], None),
    'the last one counts': (4, ['--force_yml', 'num_gpu=4', 'num_gpu=auto'], 1),
}


@pytest.fixture
def command(make_options, tmp_path, monkeypatch):
    """Set BasicSR's command line; returns options as BasicSR parses them with 4 GPUs."""

    def set_up(in_file, arguments, **opt):
        path = write_options(tmp_path / 'o.yml', make_options('KDModel', num_gpu=in_file))
        argv = ['train.py', '-opt', str(path), '--launcher', 'none', *arguments]
        monkeypatch.setattr(sys, 'argv', argv)
        return {'num_gpu': 4, 'dist': False, **opt}

    return set_up


@pytest.mark.parametrize('case', COMMANDS)
def test_auto_is_one_gpu_and_a_number_is_refused(case, command, capsys):
    in_file, arguments, expected = COMMANDS[case]
    opt = command(in_file, arguments)
    if expected is None:
        with pytest.raises(OptionError, match=r'num_gpu: 4, but .* torchrun .*nproc_per_node=4'):
            use_one_gpu(opt)
        assert opt['num_gpu'] == 4
        return
    use_one_gpu(opt)
    assert opt['num_gpu'] == expected
    assert 'num_gpu: auto: 1 of the 4 GPUs here' in capsys.readouterr().err


@pytest.mark.parametrize(
    'opt', [{'dist': True}, {'num_gpu': 1}, {'num_gpu': 0}], ids=['torchrun', 'one', 'none']
)
def test_other_trainings_are_left_alone(opt, command, capsys):
    opt = command(4, [], **opt)
    before = dict(opt)
    use_one_gpu(opt)
    assert opt == before
    assert not capsys.readouterr().err


def test_scripts_of_basicsr_use_one_gpu(make_options, tmp_path, monkeypatch):
    raw = make_options('KDModel', train__kd={'type': 'Scratch'}, num_gpu='auto')
    path = write_options(tmp_path / 'o.yml', raw)
    opt = parsed({**raw, 'num_gpu': 0}, True, tmp_path)
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(path)])
    opt['num_gpu'] = 2  # as BasicSR replaces auto with two GPUs
    if torch.cuda.is_available():
        check_options(opt, is_train=True)
    else:
        with pytest.raises(OptionError, match='num_gpu: 1, but torch finds no CUDA device'):
            check_options(opt, is_train=True)
    assert opt['num_gpu'] == 1


def test_models_of_basicsr_need_gpus_for_several_processes(make_options, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    opt = parsed(make_options('SRModel'), True, tmp_path)
    check_options(opt, is_train=True)
    opt['dist'] = True
    with pytest.raises(OptionError, match=r"model_type: 'SRModel'; BasicSR trains its own models"):
        check_options(opt, is_train=True)

    @MODEL_REGISTRY.register()
    class OnAnyDevice(SRModel):
        def model_to_device(self, net):
            return net

    try:
        check_options({**opt, 'model_type': 'OnAnyDevice'}, is_train=True)
    finally:
        del MODEL_REGISTRY._obj_map['OnAnyDevice']


def test_a_model_refuses_several_gpus(make_options, tmp_path, monkeypatch):
    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    opt['num_gpu'] = 2
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    with pytest.raises(OptionError, match='num_gpu: 2, but one process trains on one GPU'):
        KDModel({**opt, 'dist': False, 'rank': 0, 'world_size': 1})
