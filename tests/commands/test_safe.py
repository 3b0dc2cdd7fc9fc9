"""Files from strangers: option files that are read with --safe, and weights, execute nothing."""

import logging
import sys
from collections import OrderedDict

import pytest
import torch
import yaml
from basicsr.models import build_model
from basicsr.utils import options as basicsr_options
from conftest import ROOT, build, parsed, run, tiny, write_options, write_weights
from helpers.wrong_inputs import RunsCode, saved

import mtkd_basicsr
from mtkd_basicsr.checks.networks import load_pretrained
from mtkd_basicsr.commands._option_files import OptionFile, parse_like_basicsr
from mtkd_basicsr.config import apply_overrides
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.errors import OptionError, WeightsError
from mtkd_basicsr.host.yaml_loader import (
    SafeLoader,
    basicsr_reads_safely,
    read_options,
    value_of_text,
)

ARMED = 'name: x\nmine: !!python/object/apply:os.system ["touch EXECUTED"]\n'


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'options').rglob('*.yml')), ids=lambda path: str(path.relative_to(ROOT))
)
def test_our_option_files_are_read_alike(path):
    safe = read_options(path, safe=True)
    other = read_options(path)
    assert safe == other
    assert safe['mtkd_basicsr'] == mtkd_basicsr.__version__
    assert list(safe) == list(other)
    assert isinstance(safe, OrderedDict)


@pytest.mark.parametrize(
    'value',
    [
        '1',
        '-1',
        '1.5',
        '1e-4',
        '1.0e-4',
        '.inf',
        'true',
        'yes',
        '~',
        'null',
        '2001-01-01',
        '0x1f',
        '010',
        'x',
        '"1"',
        '[1, a]',
        '{a: {b: 1}}',
        '!!float 1',
        '!!str 1',
        '&a x',
        '|\n  x\n  y',
        '1_000',
        '12:30',
    ],
)
def test_plain_values_are_read_alike(value, tmp_path):
    path = tmp_path / 'x.yml'
    path.write_text(f'key: {value}\n')
    assert repr(read_options(path, safe=True)) == repr(read_options(path))


@pytest.mark.parametrize(
    'tag',
    [
        'name:os.system',
        'name:mtkd_basicsr.commands.cli',
        'name:mtkd_basicsr.__version__.x',
        'module:mtkd_basicsr',
        'tuple',
        'object/new:mtkd_basicsr.__version__',
        'object:os.system',
        'none',
        'name:',
    ],
)
def test_every_other_python_tag_is_refused(tag, tmp_path):
    path = tmp_path / 'x.yml'
    path.write_text(f'a: 1\nb: !!python/{tag}\n')
    with pytest.raises(
        OptionError,
        match=f"line 2, column 4: '!!python/{tag}' would .*; with --safe expected no Python tag "
        'but',
    ):
        read_options(path, safe=True)


def test_basicsr_itself_never_sees_the_file_with_its_own_loader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'armed.yml').write_text(ARMED)
    before = basicsr_options.ordered_yaml
    monkeypatch.setattr('sys.argv', ['train', '-opt', 'armed.yml'])
    # As if somebody had changed the file after we have looked at it.
    with (
        basicsr_reads_safely(),
        pytest.raises(yaml.constructor.ConstructorError, match='would import and call os.system'),
    ):
        basicsr_options.parse_options('.')
    assert not (tmp_path / 'EXECUTED').exists()
    assert basicsr_options.ordered_yaml is before
    with basicsr_reads_safely(safe=False):
        assert basicsr_options.ordered_yaml is before


def test_the_whole_of_a_training_reads_it_safely(make_options, tmp_path, here, monkeypatch):
    def refused(self):
        raise AssertionError("BasicSR's own loader was asked for")

    opt = make_options('KDModel', name='safe', train__kd={'type': 'Scratch'})
    path = write_options(tmp_path / 'train.yml', opt)
    monkeypatch.setattr(basicsr_options.ordered_yaml()[0], 'get_single_data', refused)
    here('train', '-opt', path, '--safe', '--force_yml', 'train:total_iter=1')
    assert (tmp_path / 'experiments' / 'safe' / 'models' / 'net_g_latest.pth').is_file()
    with pytest.raises(OptionError, match="BasicSR's own loader was asked for"):
        read_options(path)


def test_safe_options_are_parsed_as_others(make_options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_options(tmp_path / 'train.yml', make_options('MTKDModel'))
    one, other = (
        parse_like_basicsr('train', OptionFile(path, ['scale=2'], safe)) for safe in (True, False)
    )
    assert one == other
    assert one['path']['models'].endswith('models')


def test_force_is_what_basicsr_makes_of_it(make_options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_options(tmp_path / 'train.yml', make_options('KDModel'))
    entries = [
        'train:total_iter=7',
        'train:scheduler:milestones=[3, 5]',
        'val:tile=64',
        'train:ema_decay=0.5',
        'logger:use_tb_logger=true',
        'path:pretrain_network_g=~',
        'train:optim_g:lr=!!float1e-3',
        'name= spaced ',
    ]
    opt = parse_like_basicsr('train', OptionFile(path, entries, False))
    before = read_options(path)
    ours = apply_overrides(before, entries, value_of_text)
    assert before == read_options(path), 'its argument stays as it is'
    for block in ('train', 'val', 'logger', 'name'):
        assert ours[block] == opt[block]
    assert (
        ours['train']['total_iter'],
        ours['train']['scheduler']['milestones'],
        ours['val']['tile'],
        ours['name'],
    ) == (7, [3, 5], 64, 'spaced')
    assert ours['train']['optim_g']['lr'] == 1e-3
    assert ours['path']['pretrain_network_g'] is None


def loaded(opt, tmp_path, **path):
    opt['path'].update(path)
    return build_model(parsed(opt, is_train=False, root=tmp_path)).net_g.state_dict()


@pytest.fixture
def testing(make_options):
    opt = make_options('KDModel')
    opt['datasets'] = {'test': opt['datasets']['val']}
    return opt


def test_networks_are_loaded_as_basicsr_loads_them(testing, tmp_path):
    network = testing['network_g']
    one, two = (build(network, seed).state_dict() for seed in (1, 2))
    torch.save({'params': one, 'params_ema': two}, tmp_path / 'both.pth')
    torch.save({'params': {f'module.{k}': v for k, v in one.items()}}, tmp_path / 'one.pth')
    torch.save(two, tmp_path / 'bare.pth')
    for name, key, expected in (
        ('both', 'params', one),
        ('both', 'params_ema', two),
        ('one', 'params_ema', one),
        ('one', 'params', one),
        ('bare', None, two),
    ):
        state = loaded(
            testing, tmp_path, pretrain_network_g=str(tmp_path / f'{name}.pth'), param_key_g=key
        )
        assert all(torch.equal(state[k], expected[k]) for k in expected), (name, key)


def test_weights_that_need_not_fit_are_left_out_of_a_training(testing, tmp_path):
    other = write_weights(tmp_path / 'x3.pth', tiny('EDSR', 3), 5)
    theirs = build(tiny('EDSR', 3), 5).state_dict()
    testing['path'].update(pretrain_network_g=other, strict_load_g=False)
    testing['train']['kd'] = {'type': 'Scratch'}
    config = training_config(testing)
    net = build(testing['network_g'], 6)
    assert 'stay random: upsample.0.weight, upsample.0.bias' in load_pretrained(config, net)
    assert torch.equal(net.conv_first.weight, theirs['conv_first.weight'])
    assert net.upsample[0].weight.shape[0] == 8 * 4
    # A test of a network that is random in part measures nothing.
    with pytest.raises(WeightsError, match=r'upsample.0.weight: \(72, 8, 3, 3\) in the file'):
        loaded(testing, tmp_path, strict_load_g=False)
    with pytest.raises(WeightsError, match='upscale: 3 in the file, 2 in the network'):
        loaded(testing, tmp_path, strict_load_g=True)


@pytest.mark.parametrize('strict', [True, False])
def test_a_model_of_ours_executes_nothing_in_any_command(testing, tmp_path, strict, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')  # as torch before 2.6
    saved('evil.pth', {'params': RunsCode()})()
    with pytest.raises(WeightsError, match='it would call posix.system, and is not executed'):
        loaded(testing, tmp_path, pretrain_network_g='evil.pth', strict_load_g=strict)
    assert not (tmp_path / 'EXECUTED').exists()


@pytest.mark.slow
def test_commands_load_no_pickles_whatever_torch_does_by_itself(tmp_path):
    saved(tmp_path / 'evil.pth', RunsCode())()
    code = """
import os
import torch
from mtkd_basicsr.commands import cli

def load(args):
    try:
        torch.load('evil.pth')
    except Exception:
        print('refused')

cli.dispatch = load
assert cli.main(['options', '--out', 'out']) == 0
assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1', 'as it was before the command'
assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ
"""
    assert 'refused' in run(
        [sys.executable, '-c', code], tmp_path, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD='1'
    )
    assert not (tmp_path / 'EXECUTED').exists()


def test_the_loader_of_other_programs_is_left_alone():
    assert SafeLoader.yaml_multi_constructors is not yaml.SafeLoader.yaml_multi_constructors
    assert yaml.safe_load('{a: 1}') == {'a': 1}
    assert type(yaml.safe_load('{a: 1}')) is dict
    assert logging.getLogger('basicsr').disabled is False
