"""Trainings that are stopped: what they go on from, and that it makes no difference."""

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import parsed, tiny, write_options, write_weights
from helpers.encoders import write_vqgan
from helpers.trainings import assert_equal, model_of, train

from mtkd_basicsr.errors import OptionError, TrainingError, WeightsError
from mtkd_basicsr.host.resume import load_resume_state
from mtkd_basicsr.models.checkpoint_rotation import remove_old_checkpoints
from mtkd_basicsr.utils.random_state import random_state, set_random_state, unchanged

STEPS = 3  # of an epoch

pytestmark = pytest.mark.usefixtures('one_thread')


def trainings(make_options):
    """By name: options of trainings that draw random numbers in all places."""
    student = make_options(
        'MTKDModel', network_g=tiny('SwinIR', 2), train__kd={'type': 'MTKD', 'also': ['DUKD']}
    )
    folder = make_options.args[-1]
    dckd = {
        'type': 'DCKD',
        'form': 'code',
        'encoder_weights': write_vqgan(folder / 'vqgan.ckpt'),
        'history_every': [2, 3],
        'history_milestones': [4],
    }
    return {
        'fusion': make_options(
            'MTKDFusionModel',
            network_g=tiny('DCTSwin', 2, skip='adaptive', drop_path_rate=0.5),
            train__mix_batches=5,
        ),
        'student': student,
        'adapters': make_options(
            'KDModel',
            teachers=student['teachers'],
            train__distill_opt={'type': 'L1Loss'},
            network_g=tiny('EDSR', 2, num_feat=4),
            train__kd={'type': 'FitNet', 'teacher': 'rcan', 'also': ['CrossKD']},
        ),
        'history': make_options('MTKDModel', train__kd={'type': 'MTKD', 'also': [dckd]}),
        'init': make_options(
            'MTKDModel',
            network_g={'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 2, 'upscale': 2},
            train__init='he',
        ),
    }


def ready(opt, name, **train_changes):
    opt = json.loads(json.dumps(opt))
    opt.update(name=name)
    opt['datasets']['train']['dataset_enlarge_ratio'] = 2
    opt['train'].update(train_changes)
    opt['logger']['save_checkpoint_freq'] = opt['val']['val_freq'] = 1
    return opt


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ('name', 'stops', 'workers'),
    [
        ('fusion', [STEPS], 0),
        ('student', [STEPS], 0),
        ('adapters', [STEPS], 0),
        ('fusion', [STEPS, 2 * STEPS], 0),
        ('student', [STEPS, 2 * STEPS], 0),
        ('student', [STEPS], 2),
        ('history', [STEPS, 2 * STEPS], 0),
        ('init', [STEPS, 2 * STEPS], 0),
    ],
)
def test_stopped_at_the_end_of_an_epoch_nothing_differs(
    make_options, tmp_path, here, name, stops, workers
):
    """Weights, moving average, optimizer, adapters, random numbers: all bit-equal to those of a
    training that was never stopped.
    """
    last = stops[-1] + STEPS + 1
    opt = ready(trainings(make_options)[name], name, total_iter=last)
    opt['datasets']['train']['num_worker_per_gpu'] = workers
    whole = train(here, tmp_path, {**opt, 'name': 'whole'})
    for total in (*stops, last):
        parts = train(
            here, tmp_path, opt, '--auto_resume', '--force_yml', f'train:total_iter={total}'
        )
    for iteration in (stops[0] + 1, last):
        assert_equal(
            load(whole / 'models' / f'net_g_{iteration}.pth'),
            load(parts / 'models' / f'net_g_{iteration}.pth'),
        )
        a, b = (
            load(folder / 'training_states' / f'{iteration}.state') for folder in (whole, parts)
        )
        for state in (a, b):
            del state['options']['train']['total_iter']  # by which the parts were stopped
        assert a.pop('began') == {'epoch': 0, 'iter': 0}
        assert b.pop('began')['iter'] in (0, *stops)
        assert_equal(a, b)
    assert_equal(
        *(
            json.loads((folder / 'training_states' / 'best.json').read_text())
            for folder in (whole, parts)
        )
    )
    assert_equal(*(load(folder / 'models' / 'net_g_best.pth') for folder in (whole, parts)))


def test_in_the_middle_of_an_epoch_it_begins_again(make_options, tmp_path, here):
    """That is BasicSR's loop: what is exact at the end of an epoch is not there."""
    opt = ready(trainings(make_options)['student'], 'student', total_iter=4)
    whole = train(here, tmp_path, {**opt, 'name': 'whole'})
    train(here, tmp_path, opt, '--force_yml', 'train:total_iter=2')
    parts = train(here, tmp_path, opt, '--auto_resume')
    a, b = (load(folder / 'training_states' / '4.state') for folder in (whole, parts))
    assert (a['epoch'], b['epoch'], b['iter']) == (1, 0, 4)
    with pytest.raises(AssertionError):
        assert_equal(load(whole / 'models' / 'net_g_4.pth'), load(parts / 'models' / 'net_g_4.pth'))


def test_the_state_of_the_random_numbers_is_restored():
    def draw():
        return (
            random.random(),
            random.gauss(0, 1),
            np.random.rand(3).tolist(),
            np.random.randn(),
            torch.rand(3).tolist(),
        )

    random.gauss(0, 1), np.random.randn()  # each keeps a second number
    state = random_state()
    expected = draw()
    with unchanged():
        draw()
    after = draw()
    set_random_state(state)
    assert draw() == expected
    assert draw() == after


# Which state


@pytest.fixture
def stopped(make_options, tmp_path, here):
    """Options and folder of a training with checkpoints of iterations 1, 2 and 3."""
    opt = ready(make_options('KDModel', train__kd={'type': 'Scratch'}), 'scratch', total_iter=3)
    return opt, train(here, tmp_path, opt)


@pytest.mark.parametrize(
    ('broken', 'expected', 'reason'),
    [
        (['training_states/3.state'], 2, "3.state' cannot be read"),
        (['models/net_g_3.pth'], 2, "net_g_3.pth' cannot be read"),
        (['models/net_g_3.pth', 'training_states/2.state'], 1, "2.state' cannot be read"),
        ([], 3, None),
    ],
)
@pytest.mark.parametrize('how', ['cut', 'empty', 'gone'])
def test_what_cannot_be_read_is_skipped_and_named(
    stopped, tmp_path, capsys, broken, expected, reason, how
):
    opt, folder = stopped
    for name in broken:
        content = (folder / name).read_bytes()
        (folder / name).unlink() if how == 'gone' else (folder / name).write_bytes(
            content[: len(content) // 2 if how == 'cut' else 0]
        )
    options = parsed(opt, True, tmp_path)
    options['auto_resume'] = True
    if how == 'gone' and broken == ['training_states/3.state']:
        reason = None  # nobody knows that it was there
    state = load_resume_state(options)
    assert state['iter'] == expected
    assert options['path']['resume_state'].endswith(f'{expected}.state')
    assert options['path']['pretrain_network_g'].endswith(f'net_g_{expected}.pth')
    printed = capsys.readouterr().err
    if reason is None or not broken:
        assert 'skipped' not in printed
    else:
        assert (reason.replace('cannot be read', '') if how != 'gone' else 'no file') in printed
        assert '; skipped' in printed
    assert all((folder / name).exists() for name in broken) or how == 'gone', (
        'what was skipped stays'
    )


def test_the_training_goes_on_from_the_one_before(stopped, tmp_path, here):
    opt, folder = stopped
    good = load(folder / 'models' / 'net_g_3.pth')
    (folder / 'models' / 'net_g_3.pth').write_bytes(b'half of it')
    (folder / 'models' / f'net_g_3.pth.{2**20}.tmp').write_bytes(b'of a killed process')
    (folder / 'training_states' / '7.state.4711.tmp').write_bytes(b'')
    (folder / 'models' / 'mine.tmp').write_bytes(b'')
    train(here, tmp_path, opt, '--auto_resume')
    assert load(folder / 'models' / 'net_g_3.pth')['params'].keys() == good['params'].keys()
    assert [p.name for p in folder.rglob('*.tmp')] == ['mine.tmp'], 'only what is ours is removed'


def test_if_nothing_can_be_read_nothing_begins(stopped, tmp_path, here):
    opt, folder = stopped
    for path in (folder / 'training_states').glob('*.state'):
        path.write_bytes(b'')
    before = sorted(p.name for p in folder.rglob('*'))
    printed = here('train', '-opt', tmp_path / 'scratch.yml', '--auto_resume', expect=1)
    assert '--auto_resume: none of the 3 training states in' in printed
    assert "3.state' cannot be read" in printed
    assert sorted(p.name for p in folder.rglob('*')) == before


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        (None, "path.resume_state: no file '"),
        (
            {'iter': 3},
            r'is not a training state of BasicSR: it has no epoch, optimizers, schedulers',
        ),
        ([1], 'is not a training state of BasicSR'),
    ],
)
def test_a_file_that_is_no_training_state_is_refused(make_options, tmp_path, content, text):
    path = tmp_path / 'named.state'
    if content is not None:
        torch.save(content, path)
    opt = parsed(make_options('KDModel', path__resume_state=str(path)), True, tmp_path)
    with pytest.raises(WeightsError, match=text):
        load_resume_state(opt)


@pytest.mark.parametrize(('epoch', 'iteration', 'expected'), [(4, 64, 4), (4, 9, 0)])
def test_a_state_that_basicsr_itself_wrote_is_resumed(
    make_options, tmp_path, epoch, iteration, expected
):
    """It has no random numbers, and no place in the epoch, which has 15 steps."""
    from basicsr.models import build_model

    model = build_model(
        parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    )
    state = {
        'epoch': epoch,
        'iter': iteration,
        'optimizers': [o.state_dict() for o in model.optimizers],
        'schedulers': [s.state_dict() for s in model.schedulers],
    }
    model.resume_training(state)
    assert state['epoch'] == expected


# Which checkpoints stay


def test_the_newest_and_the_best_stay(make_options, tmp_path, here):
    opt = ready(make_options('KDModel', train__kd={'type': 'Scratch'}), 'scratch', total_iter=5)
    opt['logger']['keep_last'] = 2
    folder = train(here, tmp_path, opt)
    assert sorted(p.name for p in (folder / 'models').iterdir()) == [
        'net_g_4.pth',
        'net_g_5.pth',
        'net_g_best.pth',
        'net_g_latest.pth',
    ]
    assert sorted(p.name for p in (folder / 'training_states').iterdir()) == [
        '4.state',
        '5.state',
        'best.json',
    ]


def test_rotation_touches_nothing_else(tmp_path):
    path = {
        'models': str(tmp_path / 'models'),
        'training_states': str(tmp_path / 'training_states'),
    }
    names = [
        f'models/{name}'
        for name in (
            'net_g_10.pth',
            'net_g_9.pth',
            'net_g_8.pth',
            'net_g_best.pth',
            'net_d_8.pth',
            'my_8.pth',
            'net_g_8.pth.bak',
        )
    ]
    names += [f'training_states/{name}.state' for name in ('10', '9', '1', 'x')]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_old_checkpoints(path['models'], path['training_states'], 2, 10)
    gone = {'models/net_g_8.pth', 'training_states/1.state'}
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.*')} == set(names) - gone


def test_best_is_the_best_by_psnr(make_options, photographs, tmp_path):
    """Not the last, and the one that the log calls best."""
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models import build_model

    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    model = build_model(opt)
    loader = build_dataloader(build_dataset(opt['datasets']['val']), opt['datasets']['val'])
    path = tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_best.pth'
    scores = []
    path.parent.mkdir(parents=True)
    for iteration, bias in enumerate((0.2, 0.01, 0.4), 1):
        for net in (model.net_g, model.net_g_ema):
            torch.nn.init.constant_(net.conv_last.bias, bias)
        model.validation(loader, iteration, None)
        scores.append(model.metric_results['psnr'])
    best = model.best_metric_results['val']['psnr']
    assert best['iter'] == 1 + scores.index(max(scores))
    assert best['val'] == max(scores)
    expected = (0.2, 0.01, 0.4)[best['iter'] - 1]
    assert load(path)['params_ema']['conv_last.bias'].tolist() == pytest.approx([expected] * 3)


def test_the_best_network_of_an_abandoned_training_is_kept(make_options, tmp_path):
    """Resumed from an earlier state, the training validates the iteration of the record again."""
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models import build_model

    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    loader = build_dataloader(build_dataset(opt['datasets']['val']), opt['datasets']['val'])
    path = tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_best.pth'
    path.parent.mkdir(parents=True)
    model = build_model(opt)
    for bias in (0.01, 0.4):
        for net in (model.net_g, model.net_g_ema):
            torch.nn.init.constant_(net.conv_last.bias, bias)
        model.validation(loader, 6, None)
    best = load(path)['params_ema']['conv_last.bias']
    assert best.tolist() == pytest.approx([0.01] * 3)


def test_checkpoints_of_an_abandoned_training_do_not_push_out_the_new_ones(tmp_path):
    for i in (2, 4, 6, 8, 10):
        for name in (f'models/net_g_{i}.pth', f'states/{i}.state'):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    folders = str(tmp_path / 'models'), str(tmp_path / 'states')
    remove_old_checkpoints(*folders, 2, 4)  # resumed from 2, and just saved
    assert {p.stem for p in (tmp_path / 'states').iterdir()} == {'2', '4', '6', '8', '10'}
    remove_old_checkpoints(*folders, 2, 8)
    assert {p.stem for p in (tmp_path / 'states').iterdir()} == {'6', '8', '10'}
    assert len(list((tmp_path / 'models').iterdir())) == 3


def test_a_state_that_was_put_aside_in_its_experiment_is_resumed(stopped, tmp_path, monkeypatch):
    opt, folder = stopped
    monkeypatch.chdir(tmp_path)
    aside = folder / 'keep' / '3.state'
    aside.parent.mkdir()
    (folder / 'training_states' / '3.state').rename(aside)
    options = parsed(opt, True, tmp_path)
    options['path'].update(experiments_root=str(folder), resume_state=str(aside))
    assert load_resume_state(options)['iter'] == 3
    assert folder.is_dir()
    assert Path(options['path']['pretrain_network_g']) == folder / 'models' / 'net_g_3.pth'
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_state_of_a_backup_in_its_experiment_is_resumed(stopped, tmp_path, monkeypatch):
    opt, folder = stopped
    monkeypatch.chdir(tmp_path)
    for name in ('models', 'training_states'):
        shutil.copytree(folder / name, folder / 'backup' / name)
    options = parsed(opt, True, tmp_path)
    options['path'].update(
        experiments_root=str(folder),
        resume_state=str(folder / 'backup' / 'training_states' / '2.state'),
    )
    assert load_resume_state(options)['iter'] == 2
    network = folder / 'backup' / 'models' / 'net_g_2.pth'
    assert Path(options['path']['pretrain_network_g']) == network
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize('key', [None, 'model'])
def test_a_resumed_training_goes_on_from_its_student(make_options, tmp_path, here, key):
    """Whatever the entry of the weights that it began with, which are gone by then."""
    opt = ready(
        make_options('KDModel', train__kd={'type': 'Scratch'}), 'bare', total_iter=STEPS + 1
    )
    weights = write_weights(tmp_path / 'start.pth', opt['network_g'], 4, key)
    opt['path'].update(pretrain_network_g=weights, param_key_g=key)
    folder = train(here, tmp_path, opt)
    whole = load(folder / 'models' / 'net_g_4.pth')
    for name in ('models/net_g_4.pth', 'training_states/4.state'):
        (folder / name).unlink()
    Path(weights).unlink()
    train(here, tmp_path, opt, '--auto_resume')
    again = load(folder / 'models' / 'net_g_4.pth')
    for entry in ('params', 'params_ema'):
        assert_equal(again[entry], whole[entry])
    assert any(not torch.equal(v, whole['params_ema'][k]) for k, v in whole['params'].items())


def test_a_test_says_if_it_leaves_the_average(make_options, stopped, tmp_path, caplog):
    opt, folder = stopped
    opt['path']['pretrain_network_g'] = str(folder / 'models' / 'net_g_3.pth')
    opt['path'].pop('param_key_g', None)
    model_of(opt, tmp_path, is_train=False)
    assert "path.param_key_g: missing, so that 'params' of" in caplog.text
    caplog.clear()
    opt['path']['param_key_g'] = 'params_ema'
    model_of(opt, tmp_path, is_train=False)
    assert 'param_key_g: missing' not in caplog.text


@pytest.mark.parametrize('model', ['KDModel', 'SRModel'])
def test_the_command_says_once_if_it_leaves_the_average(model, stopped, tmp_path, here, caplog):
    opt, folder = stopped
    test = {
        **{key: opt[key] for key in ('name', 'scale', 'num_gpu', 'network_g', 'val')},
        'model_type': model,
        'datasets': {'test': opt['datasets']['val']},
        'path': {'pretrain_network_g': str(folder / 'models' / 'net_g_3.pth')},
    }
    for entry, count in ((None, 1), ('params', 0), ('params_ema', 0)):
        if entry is not None:
            test['path']['param_key_g'] = entry
        caplog.clear()
        printed = here('test', '-opt', write_options(tmp_path / 'test.yml', test))
        said = f'{caplog.text}{printed if model == "SRModel" else ""}'
        assert said.count('path.param_key_g: missing, so that') == count


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (
            {'logger__keep_last': 0},
            'logger.keep_last: 0; expected a number of checkpoints, from 1 on',
        ),
        ({'logger__keep_last': 'all'}, "logger.keep_last: 'all'; expected a number"),
        (
            {'logger__keep_lost': 1},
            r"logger.keep_lost: unknown key 'keep_lost' \(did you mean 'keep_last'",
        ),
        (
            {'train__max_skipped': -1},
            'train.max_skipped: -1; expected a number of steps, from 0 on',
        ),
        ({'train__max_skipped': True}, 'train.max_skipped: True; expected'),
    ],
)
def test_wrong_options_are_refused(make_options, tmp_path, changes, text):
    from basicsr.models import build_model

    with pytest.raises(OptionError, match=text):
        build_model(parsed(make_options('MTKDModel', **changes), True, tmp_path))


# Losses that are none


def stepped(make_options, tmp_path, model='MTKDModel', **changes):
    from basicsr.models import build_model

    return build_model(parsed(make_options(model, **changes), True, tmp_path))


def batch(value=None):
    images = {
        'lq': torch.rand(2, 3, 16, 16),
        'gt': torch.rand(2, 3, 32, 32),
        'gt_path': ['fox.png', 'owl.png'],
    }
    if value is not None:
        images['gt'][1, 0, 3, 4] = value
    return images


@pytest.mark.parametrize('kind', ['MTKDModel', 'MTKDFusionModel'])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_step_without_a_number_is_skipped_and_named(
    make_options, tmp_path, caplog, monkeypatch, kind, value
):
    import logging

    monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
    changes = (
        {'network_g': tiny('DCTSwin', 2, skip='adaptive'), 'train__mix_batches': 3}
        if kind == 'MTKDFusionModel'
        else {}
    )
    model = stepped(make_options, tmp_path, kind, **changes)
    for iteration, bad in ((1, None), (2, value), (3, None)):
        before = {
            **model.net_g.state_dict(),
            **{f'ema/{k}': v for k, v in model.net_g_ema.state_dict().items()},
        }
        before = {name: tensor.clone() for name, tensor in before.items()}
        moments = [p['exp_avg'].clone() for p in model.optimizer_g.state.values()]
        model.feed_data(batch(bad))
        model.optimize_parameters(iteration)
        after = {
            **model.net_g.state_dict(),
            **{f'ema/{k}': v for k, v in model.net_g_ema.state_dict().items()},
        }
        same = all(torch.equal(before[name], after[name]) for name in before)
        assert same == (bad is not None)
        if bad is not None:
            assert all(
                torch.equal(a, p['exp_avg'])
                for a, p in zip(moments, model.optimizer_g.state.values())
            )
    assert model.loss_guard.skipped == 0
    assert (
        f'iteration 2: l_pix is {value}; the step is skipped, number 1 in a row. Images: fox.png, '
        'owl.png' in caplog.text
    )


def test_too_many_in_a_row_end_the_training(make_options, tmp_path):
    model = stepped(make_options, tmp_path, train__max_skipped=2)
    for iteration, bad in enumerate([math.nan, math.nan, None, math.nan, math.nan], 1):
        model.feed_data(batch(bad))
        model.optimize_parameters(iteration)
    model.feed_data(batch(math.nan))
    with pytest.raises(
        TrainingError,
        match='iteration 6: l_pix is nan; .* number 3 in a row.* train.max_skipped is 2: training '
        'stops',
    ):
        model.optimize_parameters(6)


def test_broken_weights_replace_no_checkpoint(make_options, tmp_path):
    model = stepped(make_options, tmp_path, logger__keep_last=1)
    folder = tmp_path / 'experiments' / 'test_MTKDModel'
    for name in ('models', 'training_states'):
        (folder / name).mkdir(parents=True)
    model.save(0, 1)
    model.save(-1, -1)
    before = {p: p.read_bytes() for p in folder.rglob('*.*')}
    torch.nn.init.constant_(model.net_g.conv_first.weight, math.nan)
    model.save(0, 2)
    model.save(-1, -1)
    assert {p: p.read_bytes() for p in folder.rglob('*.*')} == before


def test_a_training_that_diverges_ends_with_its_last_good_checkpoint(make_options, tmp_path, here):
    """A learning rate that no training survives, through the command."""
    opt = ready(
        make_options('KDModel', train__kd={'type': 'Scratch'}),
        'scratch',
        total_iter=60,
        max_skipped=3,
    )
    opt['train']['optim_g']['lr'], opt['val'] = 1e30, None
    printed = here('train', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
    assert 'train.max_skipped is 3: training stops' in printed
    folder = tmp_path / 'experiments' / 'scratch' / 'models'
    for path in folder.iterdir():
        assert all(torch.isfinite(p).all() for p in load(path)['params'].values()), path
