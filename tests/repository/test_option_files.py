"""Every option file of the project: read by BasicSR's own loader, built at tiny size, one step on
the CPU.
"""

import pytest
import yaml
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from basicsr.utils.options import ordered_yaml
from conftest import ROOT, dataset, one_step, parsed, shrunk, write_weights

from mtkd_basicsr.commands.options.network_templates import STUDENTS
from mtkd_basicsr.commands.options.paper_files import files
from mtkd_basicsr.distillers.features import default_positions
from mtkd_basicsr.weights.networks import build

# Plans have tests of their own.
FILES = sorted(path for path in (ROOT / 'options').rglob('*.yml') if path.parent.name != 'compare')
TRAINING, TESTING = (
    [p for p in FILES if (p.parent.name == 'test') is test] for test in (False, True)
)


def name_of(path):
    return str(path.relative_to(ROOT / 'options'))


def read(path):
    return yaml.load(path.read_text(), Loader=ordered_yaml()[0])


def test_files_of_the_paper_are_what_the_generator_writes():
    texts = files()
    written = {name_of(p) for p in FILES if p.parent.name not in ('demo', 'teachers')}
    assert written == set(texts)
    assert len(texts) == 3 + 9 + 6 * 9 + 9
    for name, text in texts.items():
        assert (ROOT / 'options' / name).read_text() == text, (
            f'{name}: run mtkd options --out options'
        )


@pytest.mark.parametrize('path', TESTING, ids=name_of)
def test_one_image(path, photographs, tmp_path):
    opt = read(path)
    opt['num_gpu'], opt['network_g'] = 0, shrunk(opt['network_g'], opt['scale'])
    opt['path']['pretrain_network_g'] = write_weights(
        tmp_path / 'student.pth', opt['network_g'], key='params_ema'
    )
    assert [block['name'] for block in opt['datasets'].values()] == [
        'Set5',
        'Set14',
        'B100',
        'Urban100',
    ]
    block = opt['datasets']['test_1']
    block.update(
        {k: v for k, v in dataset(photographs, 'val', opt['scale']).items() if k.startswith('data')}
    )
    opt = parsed(opt, False, tmp_path)
    model = build_model(opt)
    block = opt['datasets']['test_1']
    model.validation(build_dataloader(build_dataset(block), block, num_gpu=0), 'test', None, False)
    assert set(model.metric_results) == {'psnr', 'ssim'}
    assert model.metric_results['psnr'] > 0


@pytest.mark.parametrize('path', TRAINING, ids=name_of)
def test_one_step(path, photographs, tmp_path):
    opt = read(path)
    assert opt['mtkd_basicsr'] == __import__('mtkd_basicsr').__version__
    assert opt['datasets']['train']['gt_size'] % opt['scale'] == 0
    one_step(opt, photographs, tmp_path)


def parameters(network):
    from basicsr.archs import build_network

    return sum(p.numel() for p in build_network(network).parameters())


def test_networks_have_the_sizes_of_the_paper():
    opt = read(ROOT / 'options' / 'mtkd_edsr.yml')
    millions = {name: parameters(t['network']) / 1e6 for name, t in opt['teachers'].items()}
    assert millions == {
        'swinir': pytest.approx(11.9, abs=0.05),
        'edsr': pytest.approx(43.1, abs=0.05),
        'rcan': pytest.approx(15.6, abs=0.05),
    }
    assert parameters(opt['network_g']) / 1e6 == pytest.approx(1.52, abs=0.01)
    # 1.34 M in the paper, and the 1×1 mix of `skip: learned`.
    assert parameters(opt['fusion']['network']) / 1e6 == pytest.approx(1.34, abs=0.02)


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_metrics_follow_the_protocol(path):
    opt = read(path)
    for metric in opt['val']['metrics'].values():
        assert metric['crop_border'] == opt['scale']
        assert metric['test_y_channel'] is True


def test_both_stages_of_the_paper_agree():
    pairs = [
        (f'fusion_x{s}.yml', f'mtkd_{student}{"" if s == 4 else f"_x{s}"}.yml')
        for s in (2, 3, 4)
        for student in STUDENTS
    ]
    for fusion, student in (*pairs, ('demo/fusion.yml', 'demo/mtkd.yml')):
        stage_1 = read(ROOT / 'options' / fusion)
        stage_2 = read(ROOT / 'options' / student)
        assert stage_1['teachers'] == stage_2['teachers']
        assert stage_1['network_g'] == stage_2['fusion']['network']
        assert (
            stage_2['fusion']['weights'] == f'experiments/{stage_1["name"]}/models/net_g_latest.pth'
        )


@pytest.mark.parametrize('path', [p for p in FILES if p.parent.name == 'baselines'], ids=name_of)
def test_a_baseline_differs_from_mtkd_in_the_method_alone(path):
    method, student, scale = path.stem.split('_')
    mtkd = read(ROOT / 'options' / f'mtkd_{student}{"" if scale == "x4" else f"_{scale}"}.yml')
    baseline = read(path)
    if method == 'scratch':
        assert 'teachers' not in baseline
    else:
        assert baseline['teachers'] == {student: mtkd['teachers'][student]}
        assert baseline['train']['kd']['teacher'] == student
    assert baseline['train']['kd']['type'].lower() == method
    assert baseline['model_type'] == 'KDModel'
    for opt in (mtkd, baseline):
        for key in ('name', 'model_type', 'teachers', 'fusion'):
            opt.pop(key, None)
        for key in ('pixel_opt', 'distill_opt', 'kd'):
            opt['train'].pop(key, None)
        opt['datasets']['train'].pop('target_cache')
    assert mtkd == baseline


@pytest.mark.parametrize('student', STUDENTS)
def test_the_default_positions_are_those_in_the_comments(student):
    path = ROOT / 'options' / 'baselines' / f'fakd_{student}_x4.yml'
    opt = read(path)
    text = path.read_text()
    assert opt['train']['kd']['weight'] == pytest.approx(10 / 255)
    for name, network in (
        ('student', opt['network_g']),
        ('teacher', opt['teachers'][student]['network']),
    ):
        said = yaml.safe_load(text.split(f'# {name}_features:')[1].split('\n')[0])
        assert tuple(said) == default_positions(build(network, name))


def test_the_two_students_of_the_demo_differ_in_the_method_alone():
    scratch, mtkd = (
        read(ROOT / 'options' / 'demo' / f'{name}.yml') for name in ('scratch', 'mtkd')
    )
    for opt in (scratch, mtkd):
        for key in ('name', 'model_type', 'teachers', 'fusion'):
            opt.pop(key, None)
        for key in ('kd', 'pixel_opt', 'distill_opt'):
            opt['train'].pop(key, None)
        for key in ('type', 'target_cache'):  # the same crops, out of files and out of a cache
            opt['datasets']['train'].pop(key, None)
    assert scratch == mtkd


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'options').rglob('*.yml')), ids=lambda path: path.name
)
def test_basicsr_opens_it_in_any_locale(path):
    # Its script reads the file before anything of ours can name an encoding.
    assert path.read_bytes().isascii()
