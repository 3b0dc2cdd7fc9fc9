"""Trainings with packed batches: the same bits as with the float batches of before."""

import json

import pytest
import torch
from conftest import options_for, stock, write_options
from helpers.trainings import assert_equal, train

from mtkd_basicsr import DistillImageDataset
from mtkd_basicsr.data import packed_batches

STEPS = 3  # of an epoch

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture
def fed(monkeypatch):
    """Names of the tensors of each batch that the models get, in order."""
    seen = []
    original = packed_batches.to_device

    def recorded(data, device):
        seen.append(sorted(k for k, v in data.items() if isinstance(v, torch.Tensor)))
        return original(data, device)

    monkeypatch.setattr('mtkd_basicsr.models.kd_model.to_device', recorded)
    monkeypatch.setattr('mtkd_basicsr.models.fusion_model.to_device', recorded)
    return seen


def ready(opt, name, **dataset):
    opt = json.loads(json.dumps(opt))
    opt['name'] = name
    opt['datasets']['train'].update(dataset_enlarge_ratio=2, pin_memory=True, **dataset)
    opt['train']['total_iter'] = 2 * STEPS
    opt['logger']['save_checkpoint_freq'] = STEPS
    opt['val']['val_freq'] = STEPS
    return opt


def content(folder, name):
    state = torch.load(folder / name, weights_only=True)
    state.pop('began', None)
    return state


def assert_same_training(one, other):
    """Weights, moving average, optimizer, random numbers and validations."""
    for name in (f'models/net_g_{2 * STEPS}.pth', f'training_states/{2 * STEPS}.state'):
        assert_equal(content(one, name), content(other, name))
    best = [(folder / 'training_states' / 'best.json').read_text() for folder in (one, other)]
    assert best[0] == best[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('model', 'changes'),
    [
        ('MTKDFusionModel', {}),
        ('MTKDModel', {}),
        ('MTKDModel', {'num_worker_per_gpu': 2}),
        ('MTKDModel', {'target_cache': None, 'prefetch_mode': 'cpu'}),
    ],
)
def test_a_training_learns_the_same(cached, tmp_path, here, monkeypatch, fed, model, changes):
    opt = ready(cached[model], 'packed', **changes)
    packed = train(here, tmp_path, opt)
    assert fed.count(['pixels']) == 2 * STEPS
    fed.clear()
    with monkeypatch.context() as before:
        before.setattr(DistillImageDataset, 'pack_batches', lambda *_: None)
        floats = train(here, tmp_path, {**opt, 'name': 'floats'})
    assert ['pixels'] not in fed
    assert_same_training(packed, floats)


@pytest.mark.slow
def test_a_resumed_training_learns_the_same(cached, tmp_path, here):
    opt = ready(cached['MTKDModel'], 'whole')
    whole = train(here, tmp_path, opt)
    opt = {**opt, 'name': 'parts'}
    train(here, tmp_path, opt, '--force_yml', f'train:total_iter={STEPS}')
    parts = train(here, tmp_path, opt, '--auto_resume')
    assert_same_training(whole, parts)


@pytest.mark.slow
def test_a_model_of_basicsr_learns_the_same_from_the_dataset(basicsr_tree, photographs, tmp_path):
    """Its ``feed_data`` takes floats alone."""
    opt = options_for(photographs, tmp_path, 'SRModel', name='paired')
    opt['datasets']['train'].update(num_worker_per_gpu=1)
    del opt['datasets']['val']
    weights = []
    for kind in ('PairedImageDataset', 'DistillImageDataset'):
        opt['name'] = kind
        opt['datasets']['train']['type'] = kind
        stock(basicsr_tree, 'train.py', '-opt', write_options(tmp_path / f'{kind}.yml', opt))
        path = basicsr_tree / 'experiments' / kind / 'models' / 'net_g_2.pth'
        weights.append(torch.load(path, weights_only=True))
    assert_equal(*weights)
