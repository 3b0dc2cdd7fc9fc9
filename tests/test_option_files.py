"""Every option file of the project: read by BasicSR's own loader, built at tiny size, one step on the CPU."""

import pytest
import torch
import yaml
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from basicsr.utils.options import ordered_yaml
from conftest import ROOT, dataset, parsed, shrunk, write_weights

# Plans have tests of their own.
FILES = sorted(path for path in (ROOT / 'options').rglob('*.yml') if path.parent.name != 'compare')


def read(path):
    return yaml.load(path.read_text(), Loader=ordered_yaml()[0])


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT / 'options')))
def test_one_step(path, photographs, tmp_path):
    opt = read(path)
    assert opt['mtkd_basicsr'] == __import__('mtkd_basicsr').__version__
    scale = opt['scale']
    opt['num_gpu'] = 0
    train = opt['datasets']['train']
    assert train['gt_size'] % scale == 0
    # Only where the images are and how many go into a step is changed; the other keys are used as they stand.
    train.update({k: v for k, v in dataset(photographs, 'train', scale).items() if k.startswith('data') or k in (
        'gt_size', 'num_worker_per_gpu', 'batch_size_per_gpu')})

    blocks = [('network_g', opt)] + [('network', t) for t in opt.get('teachers', {}).values()]
    blocks += [('network', opt['fusion'])] if 'fusion' in opt else []
    for key, block in blocks:
        block[key] = shrunk(block[key], scale)
    for i, (_, block) in enumerate(blocks[1:]):
        block['weights'] = write_weights(tmp_path / f'{i}.pth', block['network'], i)

    opt = parsed(opt, True, tmp_path)
    model = build_model(opt)
    batch = next(iter(build_dataloader(build_dataset(opt['datasets']['train']), opt['datasets']['train'], num_gpu=0, seed=0)))
    before = {k: v.clone() for k, v in model.net_g.state_dict().items()}
    model.update_learning_rate(1, warmup_iter=opt['train'].get('warmup_iter', -1))
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert any(not torch.equal(v, before[k]) for k, v in model.net_g.state_dict().items())
    assert all(torch.isfinite(torch.tensor(v)) for v in model.get_current_log().values())


def parameters(network):
    from basicsr.archs import build_network
    return sum(p.numel() for p in build_network(network).parameters())


def test_networks_have_the_sizes_of_the_paper():
    opt = read(ROOT / 'options' / 'mtkd_edsr.yml')
    millions = {name: parameters(t['network']) / 1e6 for name, t in opt['teachers'].items()}
    assert millions == {'swinir': pytest.approx(11.9, abs=0.05), 'edsr': pytest.approx(43.1, abs=0.05),
                        'rcan': pytest.approx(15.6, abs=0.05)}
    assert parameters(opt['network_g']) / 1e6 == pytest.approx(1.52, abs=0.01)
    # 1.34 M in the paper, and the 1×1 mix of `skip: learned`.
    assert parameters(opt['fusion']['network']) / 1e6 == pytest.approx(1.34, abs=0.02)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT / 'options')))
def test_metrics_follow_the_protocol(path):
    opt = read(path)
    for metric in opt['val']['metrics'].values():
        assert metric['crop_border'] == opt['scale'] and metric['test_y_channel'] is True


def test_both_stages_of_the_paper_agree():
    for fusion, student in (('fusion_x4.yml', 'mtkd_edsr.yml'), ('demo/fusion.yml', 'demo/mtkd.yml')):
        stage_1, stage_2 = read(ROOT / 'options' / fusion), read(ROOT / 'options' / student)
        assert stage_1['teachers'] == stage_2['teachers']
        assert stage_1['network_g'] == stage_2['fusion']['network']
        assert stage_2['fusion']['weights'] == f"experiments/{stage_1['name']}/models/net_g_latest.pth"


def test_a_baseline_differs_from_mtkd_in_the_method_alone():
    mtkd, fakd = (read(ROOT / 'options' / name) for name in ('mtkd_edsr.yml', 'baselines/fakd_edsr.yml'))
    assert fakd['teachers'] == {'edsr': mtkd['teachers']['edsr']} and fakd['train']['kd']['weight'] == pytest.approx(10 / 255)
    for opt in (mtkd, fakd):
        for key in ('name', 'model_type', 'teachers', 'fusion'):
            opt.pop(key, None)
        for key in ('pixel_opt', 'distill_opt', 'kd'):
            opt['train'].pop(key, None)
        opt['datasets']['train'].pop('target_cache')
    assert mtkd == fakd


def test_the_default_positions_are_those_in_the_comments():
    from mtkd_basicsr.features import default_positions
    from mtkd_basicsr.networks import build
    path = ROOT / 'options' / 'baselines' / 'fakd_edsr.yml'
    opt, text = read(path), path.read_text()
    for name, network in (('student', opt['network_g']), ('teacher', opt['teachers']['edsr']['network'])):
        said = yaml.safe_load(text.split(f'# {name}_features:')[1].split('\n')[0])
        assert tuple(said) == default_positions(build(network, name))


def test_the_two_students_of_the_demo_differ_in_the_method_alone():
    scratch, mtkd = (read(ROOT / 'options' / 'demo' / f'{name}.yml') for name in ('scratch', 'mtkd'))
    for opt in (scratch, mtkd):
        for key in ('name', 'model_type', 'teachers', 'fusion'):
            opt.pop(key, None)
        for key in ('pixel_opt', 'distill_opt'):
            opt['train'].pop(key, None)
        for key in ('type', 'target_cache'):  # the same crops, out of files and out of a cache
            opt['datasets']['train'].pop(key, None)
    assert scratch == mtkd
