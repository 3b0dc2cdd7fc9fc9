"""Trainings that are resumed with another option file: it is followed, and said, or refused."""

import copy
import json
import logging
import re
import shutil

import pytest
import torch
from conftest import override, parsed, tiny, write_options
from helpers.distillation import kd_options
from helpers.trainings import batch_of, model_of

from mtkd_basicsr.errors import OptionError, WeightsError
from mtkd_basicsr.host.api import LOSS_REGISTRY
from mtkd_basicsr.host.training_loop import epoch_to_go_on_with

STOPPED = 6
TOTAL = 14
SCRATCH = {'train__kd': {'type': 'Scratch'}, 'train__total_iter': TOTAL}


def steps(**arguments):
    return {'type': 'MultiStepLR', **arguments}


def cosine(*periods, **arguments):
    return {
        'type': 'CosineAnnealingRestartLR',
        'periods': list(periods),
        'restart_weights': [1] * len(periods),
        **arguments,
    }


@pytest.fixture
def log(caplog):
    """What BasicSR's log has."""
    logger = logging.getLogger('basicsr')
    level = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


def rates(model, first, last):
    """The learning rates of iterations, as BasicSR's loop sets them."""
    warmup = model.opt['train'].get('warmup_iter', -1)
    found = []
    for iteration in range(first, last + 1):
        model.update_learning_rate(iteration, warmup_iter=warmup)
        model.optimizer_g.step()
        found.append(model.get_current_learning_rate()[0])
    return found


def stopped(opt, folder, iterations=STOPPED):
    """Train for some iterations; give the training state."""
    model = model_of(opt, folder)
    batch = batch_of(opt, folder)
    for iteration in range(1, iterations + 1):
        model.update_learning_rate(iteration, warmup_iter=opt['train']['warmup_iter'])
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    model.save(0, iterations)
    path = folder / 'experiments' / opt['name'] / 'training_states' / f'{iterations}.state'
    return torch.load(path, weights_only=True)


def resumed(opt, folder, state, **changes):
    """A model with other options that has resumed the state."""
    opt = override(copy.deepcopy(opt), changes)
    model = model_of(opt, folder)
    model.resume_training(copy.deepcopy(state))
    return model


def of_version_0_1_0(state):
    return {k: v for k, v in state.items() if k not in ('options', 'ema_updates')}


def of_basicsr(state):
    return {k: state[k] for k in ('epoch', 'iter', 'optimizers', 'schedulers')}


# Schedules: what was, what is changed, and what is said.
SCHEDULES = [
    ('nothing', {}, {}, []),
    (
        'lr',
        {},
        {'train__optim_g__lr': 1e-5},
        ['train.optim_g.lr: 0.001 in the training state, 1e-05'],
    ),
    (
        'a milestone to come',
        {},
        {'train__scheduler': steps(milestones=[9], gamma=0.5)},
        ['train.scheduler.milestones: [100] in the training state, [9] in the option file'],
    ),
    (
        'a milestone that is over',
        {},
        {'train__scheduler': steps(milestones=[2, 4, 4, 9], gamma=0.5)},
        ['train.scheduler.milestones: [100] in the training state, [2, 4, 4, 9]'],
    ),
    (
        'a milestone that was',
        {'train__scheduler': steps(milestones=[3], gamma=0.5)},
        {'train__scheduler': steps(milestones=[12], gamma=0.5)},
        ['train.scheduler.milestones: [3] in the training state, [12]'],
    ),
    (
        'gamma',
        {'train__scheduler': steps(milestones=[3], gamma=0.5)},
        {'train__scheduler': steps(milestones=[3], gamma=0.1)},
        ['train.scheduler.gamma: 0.5 in the training state, 0.1'],
    ),
    (
        'restarts',
        {},
        {
            'train__scheduler': {
                'type': 'MultiStepRestartLR',
                'milestones': [2, 7],
                'gamma': 0.5,
                'restarts': [0, 5, 9],
                'restart_weights': [1, 0.5, 0.25],
            }
        },
        [
            'train.scheduler.restarts: [0] in the training state, [0, 5, 9]',
            'train.scheduler.restart_weights: [1] in the training state, [1, 0.5, 0.25]',
        ],
    ),
    (
        'to a cosine',
        {},
        {'train__scheduler': cosine(TOTAL, eta_min=1e-7)},
        [
            'train.scheduler.type: MultiStepLR in the training state, CosineAnnealingRestartLR',
            'train.scheduler.milestones: [100] in the training state, ~',
        ],
    ),
    (
        'from a cosine',
        {'train__scheduler': cosine(TOTAL, eta_min=1e-7)},
        {'train__scheduler': steps(milestones=[9], gamma=0.5)},
        ['train.scheduler.periods: [14] in the training state, ~'],
    ),
    (
        'a longer period',
        {'train__scheduler': cosine(STOPPED, eta_min=1e-7)},
        {'train__scheduler': cosine(TOTAL, eta_min=1e-7)},
        ['train.scheduler.periods: [6] in the training state, [14]'],
    ),
    (
        'another period',
        {'train__scheduler': cosine(STOPPED, eta_min=1e-7)},
        {'train__scheduler': cosine(STOPPED, 8, eta_min=1e-7)},
        ['train.scheduler.periods: [6] in the training state, [6, 8]'],
    ),
    (
        'eta_min and lr of a cosine',
        {'train__scheduler': cosine(TOTAL, eta_min=1e-7)},
        {'train__scheduler': cosine(TOTAL, eta_min=1e-5), 'train__optim_g__lr': 1e-4},
        [
            'train.scheduler.eta_min: 1e-07 in the training state, 1e-05',
            'train.optim_g.lr: 0.001 in the training state, 0.0001',
        ],
    ),
    (
        'lr at the end of a period, where both rates are eta_min',
        {'train__scheduler': cosine(STOPPED - 1, TOTAL - STOPPED + 1)},
        {'train__optim_g__lr': 1e-4},
        ['train.optim_g.lr: 0.001 in the training state, 0.0001'],
    ),
    (
        'a warm-up',
        {},
        {'train__warmup_iter': 10},
        ['train.warmup_iter: -1 in the training state, 10'],
    ),
    (
        'no warm-up',
        {'train__warmup_iter': 10},
        {'train__warmup_iter': -1},
        ['train.warmup_iter: 10 in the training state, -1'],
    ),
    (
        'a shorter warm-up of a cosine',
        {'train__warmup_iter': 10, 'train__scheduler': cosine(TOTAL)},
        {'train__warmup_iter': 4},
        ['train.warmup_iter: 10 in the training state, 4'],
    ),
    ('the same warm-up', {'train__warmup_iter': 10}, {}, []),
    (
        'the same warm-up and schedule',
        {'train__warmup_iter': 4, 'train__scheduler': steps(milestones=[2, 5], gamma=0.5)},
        {},
        [],
    ),
]


@pytest.mark.parametrize(
    ('before', 'after', 'said'), [row[1:] for row in SCHEDULES], ids=[row[0] for row in SCHEDULES]
)
def test_the_learning_rate_is_that_of_the_option_file(
    make_options, tmp_path, log, before, after, said
):
    """That which a training with the new file has from the start."""
    opt = make_options('KDModel', **SCRATCH, **before)
    state = stopped(opt, tmp_path)
    expected = rates(model_of(override(copy.deepcopy(opt), after), tmp_path), 1, TOTAL)[STOPPED:]
    for change in (lambda state: state, of_version_0_1_0, of_basicsr):
        log.clear()
        model = resumed(opt, tmp_path, change(state), **copy.deepcopy(after))
        lines = [line for line in log.text.splitlines() if 'the latter is used' in line]
        assert rates(model, STOPPED + 1, TOTAL) == expected
        if 'options' in change(state):
            for text in said:
                assert any(text in line for line in lines), text
            assert bool(said) == bool(lines)
        elif not said:
            assert not lines


def test_nothing_changes_by_a_bit_with_the_same_file(make_options, tmp_path):
    opt = make_options(
        'KDModel',
        train__warmup_iter=4,
        train__scheduler=steps(milestones=[2, 5, 8], gamma=0.3),
        **SCRATCH,
    )
    state = stopped(opt, tmp_path)
    for change in (lambda state: state, of_version_0_1_0, of_basicsr):
        model = resumed(opt, tmp_path, change(state))
        assert [s.state_dict() for s in model.schedulers] == state['schedulers']
        groups = [group for o in model.optimizers for group in o.state_dict()['param_groups']]
        assert groups == [group for o in state['optimizers'] for group in o['param_groups']]


@pytest.mark.parametrize(
    ('key', 'value', 'text'),
    [
        ('betas', [0.5, 0.9], 'train.optim_g.betas: [0.9, 0.99] in the training state, [0.5, 0.9]'),
        ('weight_decay', 0.1, 'train.optim_g.weight_decay: 0 in the training state, 0.1'),
        ('eps', 1e-6, 'train.optim_g.eps: 1e-08 in the training state, 1e-06'),
    ],
)
def test_the_optimizer_is_that_of_the_option_file(make_options, tmp_path, log, key, value, text):
    opt = make_options('KDModel', **SCRATCH)
    state = stopped(opt, tmp_path)
    for change in (lambda state: state, of_version_0_1_0):
        log.clear()
        model = resumed(opt, tmp_path, change(state), **{f'train__optim_g__{key}': value})
        (group,) = model.optimizer_g.param_groups
        assert (list(group[key]) if key == 'betas' else group[key]) == value
        assert log.text.count(text) == 1
        moments = model.optimizer_g.state_dict()['state'][0]['exp_avg']
        assert torch.equal(moments, state['optimizers'][0]['state'][0]['exp_avg'])


def has_fused_adam():
    """Whether this version of torch has it for CPUs."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.ones(1)
    try:
        torch.optim.Adam([parameter], fused=True).step()
    except RuntimeError:
        return False
    return True


def train(model, batch, first, last):
    for iteration in range(first, last + 1):
        model.update_learning_rate(iteration)
        model.feed_data(batch)
        model.optimize_parameters(iteration)


@pytest.mark.skipif(not has_fused_adam(), reason='torch has no fused Adam for CPUs')
@pytest.mark.parametrize(('before', 'after'), [(True, True), (None, True), (True, None)])
def test_a_fused_adam_goes_on(make_options, tmp_path, log, before, after):
    """To the bit where nothing has changed; otherwise with other roundings, which is said."""
    opt = make_options('KDModel', train__optim_g__fused=before, **SCRATCH)
    batch = batch_of(opt, tmp_path)
    whole = model_of(opt, tmp_path)
    train(whole, batch, 1, STOPPED)
    whole.save(0, STOPPED)
    folder = tmp_path / 'experiments' / opt['name']
    state = torch.load(folder / 'training_states' / f'{STOPPED}.state', weights_only=True)
    weights = str(folder / 'models' / f'net_g_{STOPPED}.pth')
    train(whole, batch, STOPPED + 1, TOTAL)
    log.clear()
    changes = {'path__pretrain_network_g': weights, 'train__optim_g__fused': after}
    model = resumed(opt, tmp_path, state, **changes)
    assert ('train.optim_g.fused' in log.text) == (before != after)
    assert model.optimizer_g.param_groups[0]['fused'] is after
    train(model, batch, STOPPED + 1, TOTAL)
    expected = dict(whole.net_g.named_parameters())
    for name, parameter in model.net_g.named_parameters():
        assert model.optimizer_g.state[parameter]['step'] == TOTAL
        if before == after:
            assert torch.equal(parameter, expected[name])
        else:
            assert torch.allclose(parameter, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (
            {'train__pixel_opt__loss_weight': 2.0},
            'train.pixel_opt.loss_weight: 0.1 in the training state, 2.0 in the option file',
        ),
        (
            {'train__pixel_opt': {'type': 'MSELoss'}},
            'train.pixel_opt.type: L1Loss in the training state, MSELoss in the option file',
        ),
        ({'train__total_iter': 99}, 'train.total_iter: 14 in the training state, 99'),
        ({'train__grad_clip': 0.5}, 'train.grad_clip: ~ in the training state, 0.5'),
        ({'train__ema_decay': 0.5}, 'train.ema_decay: 0.9 in the training state, 0.5'),
        ({'train__ema_decay': 0}, 'train.ema_decay: 0.9 in the training state, 0 in'),
        ({'train__ema_warmup': False}, 'train.ema_warmup: ~ in the training state, False'),
        ({'train__amp': 'bf16'}, 'train.amp: ~ in the training state, bf16'),
        (
            {'datasets__train__batch_size_per_gpu': 5},
            'datasets.train.batch_size_per_gpu: 2 in the training state, 5',
        ),
        (
            {'datasets__train__dataset_enlarge_ratio': 3},
            'datasets.train.dataset_enlarge_ratio: 10 in the training state, 3',
        ),
        ({'datasets__train__use_rot': False}, 'datasets.train.use_rot: True in the training state'),
        (
            {'network_g': tiny('EDSR', 2, res_scale=0.1)},
            'network_g.res_scale: ~ in the training state, 0.1',
        ),
        ({'model_type': 'MTKDModel'}, 'model_type: KDModel in the training state, MTKDModel'),
        ({'manual_seed': 5}, 'manual_seed: 5; the training goes on with 0, with which it began'),
    ],
)
def test_other_options_are_used_and_said(make_options, tmp_path, log, changes, text):
    opt = make_options('KDModel', **SCRATCH)
    state = stopped(opt, tmp_path)
    log.clear()
    model = resumed(opt, tmp_path, state, **changes)
    lines = [line for line in log.text.splitlines() if text in line]
    assert len(lines) == 1
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(STOPPED + 1)
    assert all(p.isfinite().all() for p in model.net_g.parameters())


def test_the_number_of_processes_is_said(make_options, tmp_path, log):
    opt = make_options('KDModel', **SCRATCH)
    state = stopped(opt, tmp_path)
    state['options']['world_size'] = 4
    resumed(opt, tmp_path, state)
    assert 'world_size: 4 in the training state, 1 now; the latter is used' in log.text


def test_another_method_is_used_where_it_has_the_same_parameters(photographs, tmp_path, log):
    opt = kd_options(photographs, tmp_path, 'LogitKD', teachers=('EDSR',))
    state = stopped(opt, tmp_path)
    model = resumed(opt, tmp_path, state, train__kd={'type': 'FAKD'})
    assert 'train.kd.type: LogitKD in the training state, FAKD in the option file' in log.text
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(STOPPED + 1)
    assert 'l_fakd' in model.log_dict


def test_a_method_with_other_adapters_is_refused(photographs, tmp_path):
    opt = kd_options(photographs, tmp_path, 'LogitKD', teachers=('EDSR',))
    state = stopped(opt, tmp_path)
    with pytest.raises(WeightsError, match='path.resume_state: adapters none; train.kd needs'):
        resumed(opt, tmp_path, state, train__kd={'type': 'FitNet'})


class WithFrozen(torch.nn.Module):
    """A loss with a frozen network and trained parameters around it."""

    def __init__(self):
        super().__init__()
        self.before = torch.nn.Parameter(torch.ones(3))
        self.network = torch.nn.Conv2d(3, 4, 3).requires_grad_(False)
        self.after = torch.nn.Parameter(torch.ones(2))

    def forward(self, pred, target):
        values = self.network(pred - target).abs().mean((0, 2, 3))
        return values.mean() * self.before.mean() * self.after.mean()


@pytest.fixture
def _with_frozen():
    LOSS_REGISTRY.register(WithFrozen)
    yield
    del LOSS_REGISTRY._obj_map['WithFrozen']


@pytest.mark.usefixtures('_with_frozen')
def test_a_state_that_has_frozen_parameters_in_its_optimizer_resumes(make_options, tmp_path):
    """Version 0.1.0 gave them to the optimizer too, which weight decay then changed."""
    opt = make_options('KDModel', **SCRATCH, train__pixel_opt={'type': 'WithFrozen'})
    state = stopped(opt, tmp_path)
    usual = resumed(opt, tmp_path, copy.deepcopy(state))
    optimizer = state['optimizers'][0]
    group = optimizer['param_groups'][0]
    count = len(group['params'])
    student, (before, after) = group['params'][:-2], group['params'][-2:]
    # In the order of `named_parameters`: before, after, network.
    for index, shape in ((count, (4, 3, 3, 3)), (count + 1, (4,))):
        optimizer['state'][index] = {
            'step': torch.tensor(6.0),
            'exp_avg': torch.full(shape, 9.0),
            'exp_avg_sq': torch.full(shape, 9.0),
        }
    group['params'] = [*student, before, after, count, count + 1]
    model = resumed(opt, tmp_path, state)
    found = model.optimizer_g.state_dict()['state']
    expected = usual.optimizer_g.state_dict()['state']
    assert found.keys() == expected.keys()
    for index, values in expected.items():
        for name, value in values.items():
            assert torch.equal(found[index][name], value)


REFUSED = [
    (
        'amsgrad',
        {'train__optim_g__amsgrad': True},
        OptionError,
        "train.optim_g: needs max_exp_avg_sq, which the optimizer in the training state '",
    ),
    (
        'frozen',
        {'network_g': tiny('EDSR', 2, num_block=2), 'path__strict_load_g': False},
        WeightsError,
        'has an optimizer of 12 parameters, expected 16 parameters: it was saved with another '
        'network_g or train.kd',
    ),
    (
        'wider',
        {'network_g': tiny('EDSR', 2, num_feat=4), 'path__strict_load_g': False},
        WeightsError,
        r'has an optimizer of a parameter of shape (8, 3, 3, 3), expected (4, 3, 3, 3)',
    ),
]


@pytest.mark.parametrize(
    ('changes', 'kind', 'text'), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_a_state_cannot_do_is_refused(make_options, tmp_path, changes, kind, text):
    opt = make_options('KDModel', **SCRATCH)
    state = stopped(opt, tmp_path)
    for change in (lambda state: state, of_version_0_1_0, of_basicsr):
        with pytest.raises(kind, match=re.escape(text)):
            resumed(opt, tmp_path, change(state), **changes)


def test_another_network_is_refused(make_options, tmp_path):
    opt = make_options('KDModel', **SCRATCH)
    stopped(opt, tmp_path)
    opt['path'].update(
        resume_state='6.state',
        pretrain_network_g=str(tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_6.pth'),
    )
    opt['network_g'] = tiny('EDSR', 2, num_feat=4)
    with pytest.raises(
        WeightsError, match='num_feat: 8 in the file, 4 in the network.* They belong'
    ):
        model_of(opt, tmp_path)


def test_updates_of_the_average_go_on(make_options, tmp_path):
    opt = make_options('KDModel', **SCRATCH)
    state = stopped(opt, tmp_path)
    assert state['ema_updates'] == STOPPED
    assert resumed(opt, tmp_path, {**state, 'ema_updates': 4}).ema_updates == 4
    assert resumed(opt, tmp_path, of_version_0_1_0(state)).ema_updates == STOPPED


@pytest.mark.parametrize(
    ('state', 'batch', 'ratio', 'expected'),
    [
        # Three images; the state of a process that began at 0. Steps as they were:
        ({'epoch': 1, 'iter': 12}, 1, 2, 2),  # at the end of an epoch of 6
        ({'epoch': 1, 'iter': 11}, 1, 2, 1),
        # Other steps: of the whole training, those in which the iteration is.
        ({'epoch': 5, 'iter': 12}, 1, 4, 1),
        ({'epoch': 5, 'iter': 12}, 1, 40, 0),
        ({'epoch': 0, 'iter': 12}, 6, 4, 6),
        ({'epoch': 0, 'iter': 12}, 12, 4, 12),
        ({'epoch': 11, 'iter': 12}, 2, 4, 2),
    ],
)
@pytest.mark.parametrize('began', [True, False])
def test_the_epoch_leaves_enough_for_all_iterations(
    make_options, tmp_path, state, batch, ratio, expected, began
):
    opt = make_options(
        'KDModel',
        datasets__train__batch_size_per_gpu=batch,
        datasets__train__dataset_enlarge_ratio=ratio,
    )
    state = {**state, 'began': {'epoch': 0, 'iter': 0}} if began else state
    epoch = epoch_to_go_on_with(parsed(opt, True, tmp_path), state)
    if began:
        assert epoch == expected
    assert epoch <= state['iter'] // max(3 * ratio // batch, 1)


# Through the command


@pytest.fixture
def trained(make_options, tmp_path, here):
    """Options of a training of 6 iterations in epochs of 2, and a function that goes on."""
    opt = make_options(
        'KDModel',
        name='first',
        datasets__train__batch_size_per_gpu=6,
        datasets__train__dataset_enlarge_ratio=4,
        logger__save_checkpoint_freq=STOPPED,
        **SCRATCH,
    )
    override(opt, {'train__total_iter': STOPPED, 'val__val_freq': STOPPED})
    here('train', '-opt', write_options(tmp_path / 'a.yml', opt))

    def go_on(*arguments, expect=0, **changes):
        changed = override(copy.deepcopy(opt), changes)
        path = write_options(tmp_path / 'b.yml', changed)
        printed = here('train', '-opt', path, *arguments, expect=expect)
        return printed, tmp_path / 'experiments' / changed['name']

    return go_on


def iterations(printed):
    return [int(i) for i in re.findall(r'iter:\s*(\d+), lr', printed)]


def test_all_iterations_are_trained_with_other_batches(trained):
    printed, folder = trained(
        '--auto_resume', train__total_iter=30, datasets__train__batch_size_per_gpu=1
    )
    assert iterations(printed) == list(range(STOPPED + 1, 31))
    assert 'datasets.train.batch_size_per_gpu: 6 in the training state, 1' in printed
    printed, _ = trained(
        '--auto_resume', train__total_iter=36, datasets__train__dataset_enlarge_ratio=2.5
    )
    assert iterations(printed) == list(range(31, 37))


def test_a_state_beyond_the_last_iteration_is_refused(trained, tmp_path):
    folder = tmp_path / 'experiments' / 'first'
    before = {p: p.read_bytes() for p in folder.rglob('*.*') if p.is_file()}
    printed, _ = trained('--auto_resume', expect=1, train__total_iter=4)
    assert "train.total_iter: 4, but '" in printed
    assert 'is of iteration 6: there is nothing to train' in printed
    assert {p: p.read_bytes() for p in folder.rglob('*.*') if p.is_file()} == before
    printed, _ = trained('--auto_resume')
    assert iterations(printed) == []


@pytest.mark.parametrize('arguments', [(), ('--auto_resume',)])
def test_the_state_of_another_experiment_is_resumed_in_new_folders(trained, tmp_path, arguments):
    first = tmp_path / 'experiments' / 'first'
    other = tmp_path / 'experiments' / 'second' / 'models'
    other.mkdir(parents=True)
    shutil.copy(first / 'models' / 'net_g_6.pth', other / 'net_g_1.pth')
    before = {p: p.read_bytes() for p in first.rglob('*.*') if p.is_file()}
    printed, second = trained(
        *arguments,
        name='second',
        train__total_iter=8,
        path__resume_state=str(first / 'training_states' / '6.state'),
    )
    assert iterations(printed) == [7, 8]
    names = sorted(p.name for p in (second / 'models').iterdir())
    assert names == ['net_g_best.pth', 'net_g_latest.pth']
    assert {p: p.read_bytes() for p in first.rglob('*.*') if p.is_file()} == before
    (aside,) = second.parent.glob('second_archived_*')
    assert (aside / 'models' / 'net_g_1.pth').exists()


def test_a_state_goes_on_with_another_network(trained, tmp_path):
    first = tmp_path / 'experiments' / 'first'
    printed, second = trained(
        name='second',
        train__total_iter=8,
        path__resume_state=str(first / 'training_states' / '6.state'),
        path__ignore_resume_networks=['network_g'],
        path__pretrain_network_g=str(first / 'models' / 'net_g_latest.pth'),
    )
    assert iterations(printed) == [7, 8]
    assert (second / 'models' / 'net_g_latest.pth').exists()


def test_the_option_file_in_an_experiment_resumes_it(trained, tmp_path, here):
    folder = tmp_path / 'experiments' / 'first'
    (file,) = folder.glob('*.yml')
    content = file.read_text()
    before = sorted(p.name for p in folder.parent.iterdir())
    printed = here('train', '-opt', file, expect=1)
    assert f"-opt: '{file}' lies in the folder of the experiment of this name" in printed
    printed = here('train', '-opt', file, '--auto_resume', '--force_yml', 'train:total_iter=8')
    assert iterations(printed) == [7, 8]
    assert sorted(p.name for p in folder.parent.iterdir()) == before
    assert file.read_text() == content


def test_best_results_are_compared_with_their_like(trained, tmp_path):
    psnr = {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': True}
    ssim = {'type': 'calculate_ssim', 'crop_border': 2, 'test_y_channel': True}
    folder = tmp_path / 'experiments' / 'first'
    path = folder / 'training_states' / 'best.json'
    best = json.loads(path.read_text())
    best['val']['psnr']['val'] = 99.0
    path.write_text(json.dumps(best))
    printed, _ = trained(
        '--auto_resume',
        train__total_iter=7,
        val__val_freq=1,
        val__metrics={'psnr': {**psnr, 'crop_border': 2}, 'ssim': ssim},
    )
    assert 'Best: 99.0000 @ 6 iter' in printed
    assert re.search(r'# ssim: 0\.\d+\tBest: 0\.\d+ @ 7 iter', printed)
    path.write_text(json.dumps(best))
    printed, _ = trained(
        '--auto_resume', train__total_iter=8, val__val_freq=1, val__metrics={'psnr': psnr}
    )
    assert '@ 6 iter' not in printed.split('Resuming training')[1]


def test_a_training_is_validated_once_at_its_end(trained, tmp_path):
    printed = next((tmp_path / 'experiments' / 'first').glob('*.log')).read_text()
    assert printed.count('# psnr:') == 1
    assert '@ 6 iter' in printed
    assert '-1 day' not in printed
    printed, folder = trained('--auto_resume', train__total_iter=7, val__val_freq=100)
    found = re.findall(r'# psnr: [\d.]+\tBest: [\d.]+ @ (\d) iter', printed)
    assert found in (['7'], ['6'])
    best = json.loads((folder / 'training_states' / 'best.json').read_text())
    assert best['val']['psnr']['iter'] == int(found[0])
