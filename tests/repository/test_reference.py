"""The teachers that come with the package."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, run
from safetensors import safe_open

import mtkd_basicsr
from mtkd_basicsr.config import parse_fusion, parse_teacher
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.resources import option_file, weights_file
from mtkd_basicsr.weights.loading import load_weights, read_weights
from mtkd_basicsr.weights.networks import build

NAMES = ('edsr_x4', 'rcan_x4', 'swinir_x4')
FOLDER = Path(mtkd_basicsr.__file__).parent / 'reference'


def test_reference_teachers_are_small_and_in_16_bits():
    files = sorted(FOLDER.iterdir())
    assert [file.stem for file in files] == list(NAMES)
    assert {file.suffix for file in files} == {'.safetensors'}
    assert sum(file.stat().st_size for file in files) < 12e6
    for file in files:
        with safe_open(file, framework='pt') as opened:
            assert {opened.get_tensor(name).dtype for name in opened.keys()} <= {
                torch.float16,
                torch.int64,
            }


@pytest.mark.parametrize('name', NAMES)
def test_reference_teachers_are_what_their_option_files_make(name):
    trained = read_options(option_file('teachers', f'{name}.yml'))
    demo = read_options(option_file('demo', 'mtkd.yml'))
    network = trained['network_g']
    said = read_weights(f'reference:{name}', 'x')['mtkd']
    assert {k: v for k, v in said['network'].items() if k in network and k != 'rgb_mean'} == {
        k: v for k, v in network.items() if k != 'rgb_mean'
    }
    assert said['scale'] == trained['scale']
    assert demo['teachers'][name.split('_')[0]]['network'] == network
    net = build(network, 'network_g')
    load_weights(net, f'reference:{name}', 'x')
    assert 0.5e6 <= sum(p.numel() for p in net.parameters()) <= 2e6


def test_reference_teachers_can_be_named_where_weights_are(here, tmp_path):
    block = {'network': {'type': 'EDSR'}, 'weights': 'reference:edsr_x4'}
    path = str(FOLDER / 'edsr_x4.safetensors')
    assert (
        parse_teacher(block, 'teachers.a').weights
        == path
        == parse_fusion({'fusion': block}).weights
    )
    assert weights_file('reference.pth', 'x') == 'reference.pth'
    with pytest.raises(
        OptionError,
        match=r"teachers.a.weights: 'reference:edrs_x4'; known: .*\(did you mean "
        r"'reference:edsr_x4'\?\)",
    ):
        parse_teacher({**block, 'weights': 'reference:edrs_x4'}, 'teachers.a')
    cv2.imwrite(str(tmp_path / 'small.png'), np.full((9, 12, 3), 100, np.uint8))
    here('upscale', 'small.png', '--weights', 'reference:swinir_x4', '--out', 'large')
    assert cv2.imread(str(tmp_path / 'large' / 'small_x4.png')).shape == (36, 48, 3)
    here('export', '--weights', 'reference:rcan_x4', '--format', 'torchscript')
    assert (tmp_path / 'rcan_x4.pt').is_file()
    assert "did you mean 'reference:rcan_x4'" in here(
        'upscale', 'small.png', '--weights', 'reference:rcan', '--out', 'x', expect=1
    )


@pytest.mark.slow
def test_reference_teachers_beat_bicubic_on_photographs_they_have_not_seen():
    printed = run(
        [sys.executable, ROOT / 'benchmarks' / 'teachers.py', '--threads', '1'],
        cwd=ROOT / 'benchmarks',
    )
    psnr = {
        line.split('|')[1].strip(): float(line.split('|')[3].split('/')[0])
        for line in printed.splitlines()
        if line.startswith('| ') and '/' in line
    }
    assert 28 < psnr['bicubic'] < 29
    for name in ('teacher edsr', 'teacher rcan', 'teacher swinir', 'mean of teachers'):
        assert psnr[name] > psnr['bicubic'] + 0.8, printed
