"""A test without ``network_g``: the checkpoint records it."""

import pytest
from helpers.wrong_inputs import GONE, options, outcome, workshop


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('recorded')
    workshop(folder)
    return folder


def _psnr(printed):
    return [line for line in printed.splitlines() if '# psnr' in line]


def test_the_network_comes_from_the_checkpoint(folder, monkeypatch):
    monkeypatch.chdir(folder)
    values = []
    for changes in ({}, {'network_g': GONE}):
        options('KDModel', 'test', path__pretrain_network_g='student.pth', **changes)()
        result = outcome(['test', '-opt', 'options.yml'])
        assert result.status == 0
        (log,) = (folder / 'results' / 'test_KDModel').glob('*.log')
        values.append(_psnr(log.read_text(encoding='utf-8')))
        assert 'type: EDSR' in log.read_text(encoding='utf-8')
    assert len(values[0]) == 1
    assert values[0] == values[1]


@pytest.mark.parametrize('weights', ['EDSR_x2.pth', None])
def test_a_file_that_does_not_record_it_is_not_enough(weights, folder, monkeypatch):
    monkeypatch.chdir(folder)
    options('KDModel', 'test', path__pretrain_network_g=weights, network_g=GONE)()
    assert outcome(['test', '-opt', 'options.yml']).printed == 'mtkd test: network_g: missing\n'


def test_a_training_names_its_network(folder, monkeypatch):
    monkeypatch.chdir(folder)
    changes = {'network_g': GONE, 'path__pretrain_network_g': 'student.pth'}
    options('KDModel', train__kd={'type': 'Scratch'}, **changes)()
    assert outcome(['train', '-opt', 'options.yml']).printed == 'mtkd train: network_g: missing\n'
