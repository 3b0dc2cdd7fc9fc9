"""The networks that come with the package: teachers, and students to upscale with."""

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, run
from safetensors import safe_open

import mtkd_basicsr
from mtkd_basicsr.commands import upscale
from mtkd_basicsr.config import parse_fusion, parse_teacher, parse_teachers
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.teachers import TeacherEnsemble
from mtkd_basicsr.teachers.spandrel import read_spandrel
from mtkd_basicsr.utils import resources
from mtkd_basicsr.utils.digest import sha256
from mtkd_basicsr.utils.resources import best_student, option_file, reference_names, weights_file
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build
from mtkd_basicsr.weights.reading import read_weights

NAMES = ('edsr_x4', 'rcan_x4', 'swinir_x4')
FOLDER = Path(mtkd_basicsr.__file__).parent / 'reference'
STUDENTS = sorted(FOLDER.glob('student_*.safetensors'))
KNOWN = json.loads((FOLDER / 'students.json').read_text())


def dtypes(file):
    with safe_open(file, framework='pt') as opened:
        return {opened.get_tensor(name).dtype for name in opened.keys()}


def test_reference_teachers_are_small_and_in_16_bits():
    files = sorted(file for file in FOLDER.glob('*.safetensors') if file not in STUDENTS)
    assert [file.stem for file in files] == list(NAMES)
    assert sum(file.stat().st_size for file in files) < 12e6
    for file in files:
        assert dtypes(file) <= {torch.float16, torch.int64}


def test_students_are_smaller():
    assert {'student_edsr_x4', 'student_swinir_x4'} <= {file.stem for file in STUDENTS}
    assert max(file.stat().st_size for file in STUDENTS) < 300e3
    assert sum(file.stat().st_size for file in STUDENTS) < 1.5e6
    for file in STUDENTS:
        assert dtypes(file) <= {torch.float16, torch.uint8, torch.int8}


def test_what_is_known_of_students_is_true_of_these_files():
    """Or else: benchmarks/reference_models.py --data DIR --write."""
    measured = json.loads((ROOT / 'benchmarks' / 'results' / 'reference_models.json').read_text())
    assert {f'{name}.safetensors' for name in KNOWN} == {file.name for file in STUDENTS}
    for file in STUDENTS:
        entry = KNOWN[file.stem]
        name = file.stem.removesuffix('_x4').replace('_', ' ')
        assert entry['sha256'] == sha256(str(file)) == measured['files'][name][0]
        recorded = read_weights(str(file), 'x')['mtkd']
        assert (entry['arch'], entry['scale']) == (recorded['network']['type'], recorded['scale'])
        net = build(recorded['network'], 'x')
        assert entry['parameters'] == sum(p.numel() for p in net.parameters())
        for test_set in ('Set5', 'B100'):
            for key, row in (('results', name), ('bicubic', 'bicubic')):
                mean = np.mean(list(measured['results'][row][test_set].values()), 0)
                assert entry[key][test_set] == pytest.approx(mean)
            assert entry['results'][test_set][0] > entry['bicubic'][test_set][0] + 0.8
        assert measured['curves'][name]['psnr']


def test_the_page_names_every_model():
    page = (ROOT / 'docs' / 'reference_models.md').read_text()
    assert [name for name in reference_names() if f'`{name}`' not in page] == []


def test_the_best_student_has_the_highest_psnr_on_b100(monkeypatch, tmp_path):
    def write(**values):
        entry = next(iter(KNOWN.values()))
        (tmp_path / 'reference').mkdir(exist_ok=True)
        content = {
            name: {**entry, 'scale': scale, 'results': {'B100': [psnr, 0.5], 'Set5': [b, 0.5]}}
            for name, (scale, psnr, b) in values.items()
        }
        (tmp_path / 'reference' / 'students.json').write_text(json.dumps(content))

    highest = max(KNOWN, key=lambda name: KNOWN[name]['results']['B100'][0])
    assert best_student(4).name == f'reference:{highest}'
    monkeypatch.setattr(resources, '_PACKAGE', tmp_path)
    write(b=(4, 26.5, 32.0), c=(4, 26.6, 31.0), a=(2, 30.0, 36.0))
    assert best_student(4).name == 'reference:c'
    assert best_student(2).name == 'reference:a'
    write(c=(4, 26.6, 31.0), b=(4, 26.6, 30.0))
    assert best_student(4).name == 'reference:b', 'of equals the first by name'
    with pytest.raises(OptionError, match='no student for ×3'):
        best_student(3)


def test_without_weights_the_best_student_upscales(here, tmp_path, photographs):
    photo = next((photographs / 'val' / 'LRx4').glob('*.png'))
    student = best_student(4)
    printed = here('upscale', photo, '--out', 'best').splitlines()
    assert printed[0].startswith(f'upscaling with {student.name}, a small {student.arch} for ×4 ')
    assert printed[0].endswith('; --weights takes any other network')
    assert f'{student.psnr:.2f} dB PSNR on B100' in printed[0]
    assert f'{student.parameters:,d} parameters' in printed[0]
    named = here('upscale', photo, '--weights', student.name, '--out', 'named')
    assert student.name not in named
    best, same = (tmp_path / out / f'{photo.stem}_x4.png' for out in ('best', 'named'))
    assert best.read_bytes() == same.read_bytes()
    lq = cv2.imread(str(photo))
    gt = cv2.imread(str(photographs / 'val' / 'GT' / photo.name))
    bicubic = cv2.resize(lq, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert cv2.PSNR(cv2.imread(str(best)), gt) > cv2.PSNR(bicubic, gt) + 0.5
    (result,) = upscale([photo], out=tmp_path / 'function')
    assert result.read_bytes() == best.read_bytes()
    assert "--weights: missing; expected the weights for the network of -opt 'a.yml'" in here(
        'upscale', photo, '-opt', 'a.yml', expect=1
    )


def test_a_student_can_be_a_teacher():
    entries = {file.stem: {'weights': f'reference:{file.stem}'} for file in STUDENTS}
    ensemble = TeacherEnsemble(parse_teachers({'teachers': entries}), 4)
    output = ensemble(torch.rand(1, 3, 16, 16))
    assert output.shape == (1, 3 * len(STUDENTS), 64, 64)


def test_spandrel_opens_the_student_whose_arch_it_knows():
    net = read_spandrel(str(FOLDER / 'student_swinir_x4.safetensors'), 'x', 'x').eval()
    assert (net.arch_name, net.scale) == ('SwinIR (spandrel)', 4)
    ours = TeacherEnsemble(
        parse_teachers({'teachers': {'a': {'weights': 'reference:student_swinir_x4'}}}), 4
    )
    lq = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        assert (net(lq).clamp(0, 1) - ours(lq)).abs().max() < 1e-5


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


@pytest.fixture
def script(monkeypatch):
    """The script that measures these networks."""
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    return importlib.import_module('reference_models')


def test_what_has_not_changed_is_not_measured_again(script, tmp_path, photographs):
    weights = tmp_path / 'weights'
    weights.write_bytes(b'1')
    calls = []

    def function(lq):
        calls.append(lq.shape)
        return lq.repeat_interleave(4, 2).repeat_interleave(4, 3)

    folders = {
        'dataroot_gt': str(photographs / 'val' / 'GT'),
        'dataroot_lq': str(photographs / 'val' / 'LRx4'),
    }
    sets = script.evaluation_sets({'photographs': folders}, 4, tmp_path)
    rows = {'a network': script.Row(function, [str(weights)], 7)}
    first = script.measured(rows, sets, 'cpu', {})
    count = len(calls)
    assert count == len(first['results']['a network']['photographs']) > 0
    assert script.measured(rows, sets, 'cpu', json.loads(json.dumps(first))) == first
    assert len(calls) == count
    weights.write_bytes(b'2')
    again = script.measured(rows, sets, 'cpu', first)
    assert len(calls) == 2 * count
    assert again['files'] != first['files']
    assert again['results'] == first['results']


@pytest.mark.slow
def test_reference_models_beat_bicubic_on_photographs_they_have_not_seen():
    printed = run(
        [sys.executable, ROOT / 'benchmarks' / 'reference_models.py', '--threads', '1'],
        cwd=ROOT / 'benchmarks',
    )
    psnr = {
        line.split('|')[1].strip(): float(line.split('|')[3].split('/')[0])
        for line in printed.splitlines()
        if line.startswith('| ') and '/' in line
    }
    assert 28 < psnr['bicubic'] < 29
    rows = ['teacher edsr', 'teacher rcan', 'teacher swinir', 'mean of teachers']
    rows += [file.stem.removesuffix('_x4').replace('_', ' ') for file in STUDENTS]
    for name in rows:
        assert psnr[name] > psnr['bicubic'] + 0.8, printed
