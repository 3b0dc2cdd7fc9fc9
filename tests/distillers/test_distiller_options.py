"""What ``train.kd`` may say, and which teachers are built for it."""

import copy

import numpy as np
import pytest
import torch
from conftest import mtkd, parsed, write_options
from helpers.distillation import batch_of, kd_options, model_of, step, teacher_net

from mtkd_basicsr.config import TargetSource
from mtkd_basicsr.data.cache.format import array_names
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.distillers import METHODS
from mtkd_basicsr.errors import CacheError, OptionError


@pytest.fixture
def make(photographs, tmp_path):
    def make(kd, student='EDSR', teachers=('SwinIR',), **changes):
        return kd_options(photographs, tmp_path, kd, student, teachers, **changes)

    return make


@pytest.mark.parametrize(
    ('kd', 'text'),
    [
        (
            {'type': 'fadk'},
            r"train.kd.type: unknown method 'fadk'; known: AT, CrossKD, .*did you mean 'FAKD'",
        ),
        ({'teacher': 'swinir'}, "train.kd: key 'type' is missing"),
        ({'type': ['FAKD']}, r"train.kd.type: \['FAKD'\]; expected a string"),
        (
            {'type': 'AT', 'wieght': 1.0},
            r"train.kd: unknown key 'wieght'; known: type, teacher, also, .*did you mean 'weight'",
        ),
        (
            {'type': 'CrossKD', 'teachercut': 'body'},
            "train.kd: unknown key 'teachercut'.*did you mean 'teacher_cut'",
        ),
        (
            {'type': 'DUKD', 'zoomout': True},
            "train.kd: unknown key 'zoomout'.*did you mean 'zoom_out'",
        ),
        ({'type': 'FAKD', 'form': 'l1'}, "train.kd: unknown key 'form'"),
        (
            {'type': 'FitNet', 'teacher_feature': []},
            "train.kd: unknown key 'teacher_feature'.*did you mean 'teacher_features'",
        ),
        (
            {'type': 'RKD', 'angle_weigth': 1.0},
            "train.kd: unknown key 'angle_weigth'.*did you mean 'angle_weight'",
        ),
        ({'type': 'LogitKD', 'weight': 1.0}, "train.kd: unknown key 'weight'"),
        *(
            (
                {'type': 'LogitKD', 'also': [{'type': 'DUKD', 'teacher': name}]},
                rf"train.kd.also\[0\].teacher: '{name}'; DUKD uses the target of the",
            )
            for name in ('swinir', 'nobody')
        ),
        ({'type': 'Scratch', 'form': 'l1'}, "train.kd: unknown key 'form'"),
        ({'type': 'AT', 'form': 'l1'}, r"train.kd.form: 'l1'; known: mean_l1, paper, authors"),
        ({'type': 'FitNet', 'form': 'l2'}, "train.kd.form: 'l2'; known: l1, paper, channel_mean"),
        (
            {'type': 'DUKD', 'inverse': 'author'},
            r"train.kd.inverse: 'author'; known: exact, authors \(did you mean 'authors'",
        ),
        (
            {'type': 'DUKD', 'probability': 1.5},
            'train.kd.probability: 1.5; expected a number from 0 to 1',
        ),
        ({'type': 'DUKD', 'probability': -0.1}, 'train.kd.probability: -0.1; expected'),
        ({'type': 'DUKD', 'zoom_out': 1}, 'train.kd.zoom_out: 1; expected true or false'),
        ({'type': 'FAKD', 'weight': 'big'}, "train.kd.weight: 'big'; expected a number"),
        (
            {'type': 'FAKD', 'student_features': 'body.0'},
            "train.kd.student_features: 'body.0'; expected a list",
        ),
        (
            {'type': 'FAKD', 'student_features': ['body.9']},
            'train.kd.teacher_features: 3 positions, but 1 of the student',
        ),
        (
            {'type': 'FAKD', 'student_features': ['body.9'], 'teacher_features': ['layers.0']},
            "train.kd.student_features: EDSR has no module 'body.9'",
        ),
        (
            {'type': 'FAKD', 'student_features': ['body.0'], 'teacher_features': ['layer.0']},
            "train.kd.teacher_features: SwinIR has no module 'layer.0'.*did you mean 'layers.0'",
        ),
        (
            {
                'type': 'FitNet',
                'student_features': ['body.0'],
                'teacher_features': ['conv_last:input'],
            },
            "features: 'conv_last:input' of SwinIR has the shape",
        ),
        (
            {'type': 'CrossKD', 'student_cut': 'bdy'},
            "train.kd.student_cut: EDSR has no module 'bdy'",
        ),
        (
            {'type': 'CrossKD', 'teacher_cut': 'upsampler'},
            "train.kd.teacher_cut: SwinIR has no module 'upsampler'",
        ),
        (
            {'type': 'CrossKD', 'teacher_cut': 'upsample:output'},
            "train.kd.teacher_cut: 'upsample:output'; expected PATH",
        ),
        (
            {'type': 'FAKD', 'teacher': 'rcan'},
            "train.kd.teacher: 'rcan'; expected the name of a teacher; known: swinir",
        ),
        ({'type': 'FAKD', 'also': 'DUKD'}, "train.kd.also: 'DUKD'; expected a list"),
        (
            {'type': 'FAKD', 'also': ['DUDK']},
            r"train.kd.also\[0\].type: unknown method 'DUDK'.*did you mean 'DUKD'",
        ),
        (
            {'type': 'FAKD', 'also': ['DUKD', 'FAKD']},
            r"train.kd.also\[1\]: 'FAKD' adds nothing to FAKD",
        ),
        (
            {'type': 'FAKD', 'also': ['DUKD', 'DUKD']},
            r"train.kd.also\[1\]: 'DUKD' adds nothing to FAKD",
        ),
        (
            {'type': 'FAKD', 'also': ['LogitKD']},
            r"train.kd.also\[0\]: 'LogitKD' adds nothing to FAKD; expected others of AT, CrossKD",
        ),
        ({'type': 'FAKD', 'also': ['MTKD']}, r"train.kd.also\[0\]: 'MTKD' adds nothing to FAKD"),
        (
            {'type': 'FAKD', 'also': ['Scratch']},
            r"train.kd.also\[0\]: 'Scratch' adds nothing to FAKD",
        ),
        (
            {'type': 'FAKD', 'also': [{'type': 'DUKD', 'also': ['AT']}]},
            r"train.kd.also\[0\].also: \['AT'\]; only train.kd itself",
        ),
        ({'type': 'FAKD', 'also': [{'weight': 1.0}]}, r'train.kd.also\[0\]: '),
        (
            {'type': 'FAKD', 'also': [{'type': 'DUKD', 'weigth': 1.0}]},
            r"train.kd.also\[0\]: unknown key 'weigth'.*did you mean 'weight'",
        ),
        (
            {'type': 'FAKD', 'also': [{'type': 'AT', 'form': 'l1'}]},
            r"train.kd.also\[0\].form: 'l1'; known",
        ),
        (
            {'type': 'FAKD', 'also': [{'type': 'AT', 'teacher': 'rcan'}]},
            r"train.kd.also\[0\].teacher: 'rcan'; expected the name of a teacher",
        ),
        ({'type': 'FAKD', 'also': [3]}, r'train.kd.also\[0\]: 3; expected a mapping'),
        (
            {'type': 'Scratch', 'also': ['DUKD']},
            r"train.kd.also: \['DUKD'\], but Scratch has no teacher",
        ),
    ],
)
def test_wrong_options_are_refused(make, tmp_path, kd, text):
    opt = make('FAKD')
    opt['train']['kd'] = kd
    with pytest.raises(OptionError, match=text):
        model_of(opt, tmp_path)


@pytest.mark.parametrize(
    ('kd', 'text'),
    [
        ('FAKD', 'train.kd.teacher: None; expected the name of a teacher; known: swinir, edsr'),
        (
            {'type': 'MTKD', 'also': ['CrossKD']},
            r'train.kd.also\[0\].teacher: None; expected the name of a teacher; known: swinir, '
            'edsr',
        ),
        ({'type': 'DUKD', 'teacher': 'esdr'}, r"train.kd.teacher: 'esdr'; .*did you mean 'edsr'"),
        ({'type': 'MTKD', 'teacher': 'esdr'}, r"train.kd.teacher: 'esdr'; .*did you mean 'edsr'"),
    ],
)
def test_one_of_several_teachers_has_to_be_named(make, tmp_path, kd, text):
    with pytest.raises(OptionError, match=text):
        model_of(make(kd, 'RCAN', ('SwinIR', 'EDSR')), tmp_path)


def test_zoom_out_takes_patches_that_it_can_reduce(make, tmp_path):
    def model(gt_size):
        kd = {'type': 'DUKD', 'zoom_out': True}
        return model_of(make(kd, datasets__train__gt_size=gt_size), tmp_path)

    text = (
        'datasets.train.gt_size: 2; expected at least 4, because train.kd.zoom_out reduces '
        'inputs of 1 by 1 pixels 2 times'
    )
    with pytest.raises(OptionError, match=text):
        model(2)
    assert step(model(4), batch_of(n=2))['l_zoom_out'] > 0


def test_methods_beside_mtkd_compare_with_the_teacher_that_is_named(make, tmp_path):
    kd = {'type': 'MTKD', 'teacher': 'edsr', 'also': ['FAKD', {'type': 'AT', 'teacher': 'swinir'}]}
    mtkd, *others = model_of(make(kd, 'RCAN', ('SwinIR', 'EDSR')), tmp_path).distiller.methods
    assert [method.teacher for method in others] == ['edsr', 'swinir']
    assert mtkd.needs_target
    assert mtkd.target_source is TargetSource.FUSED


@pytest.mark.parametrize('kd', ['RKD', {'type': 'LogitKD', 'also': ['RKD']}], ids=str)
@pytest.mark.parametrize('batch', [1, 2])
def test_relations_need_three_images(make, tmp_path, kd, batch):
    text = (
        f'datasets.train.batch_size_per_gpu: {batch}, but RKD compares pairs and triples of '
        'images; expected 3 or more'
    )
    with pytest.raises(OptionError, match=text):
        model_of(make(kd, datasets__train__batch_size_per_gpu=batch), tmp_path)


@pytest.mark.parametrize('method', sorted(METHODS))
def test_which_blocks_a_method_needs(make, tmp_path, method):
    for block, needed in (
        ('teachers', method != 'Scratch'),
        ('fusion', method == 'MTKD'),
        ('distill_opt', method in ('LogitKD', 'MTKD')),
    ):
        opt = make(method)
        (opt['train'] if block == 'distill_opt' else opt).pop(block, None)
        if needed:
            with pytest.raises(OptionError, match=f'{block}: (missing|None)'):
                model_of(opt, tmp_path)
        else:
            model_of(opt, tmp_path)


def test_combined_methods_share_one_teacher(make, tmp_path):
    model = model_of(make({'type': 'CrossKD', 'also': ['FAKD', 'DUKD', 'FitNet']}), tmp_path)
    context = model.distiller.teachers
    assert list(context.ensembles) == ['swinir']
    assert len(context.ensembles['swinir'].networks) == 1
    assert len(list(context.student_tap.positions)) == 3, 'a position is read once'


@pytest.mark.parametrize(
    ('kd', 'line'),
    [
        ('CrossKD', 'Method: CrossKD, 108 parameters of adapters'),
        ('LogitKD', 'Method: LogitKD'),
        (
            {'type': 'MTKD', 'also': ['DUKD', 'FitNet']},
            'Method: MTKD + DUKD + FitNet, 324 parameters of adapters',
        ),
    ],
    ids=str,
)
def test_the_log_says_which_method(make, tmp_path, kd, line):
    assert model_of(make(kd), tmp_path).distiller.describe()[-1] == line


@pytest.fixture(scope='module')
def cached(photographs, tmp_path_factory):
    """Options with the cache of what each of two teachers makes of the images."""
    folder = tmp_path_factory.mktemp('kd_cache')
    opt = kd_options(
        photographs, folder, {'type': 'LogitKD', 'teacher': 'swinir'}, 'RCAN', ('SwinIR', 'EDSR')
    )
    del opt['fusion']
    opt['datasets']['train'].update(
        type='DistillImageDataset', target_cache=str(folder / 'teachers.lmdb')
    )
    mtkd('cache', '-opt', write_options(folder / 'cache.yml', opt), cwd=folder)
    assert list(CacheReader(folder / 'teachers.lmdb').manifest['teachers']) == ['edsr', 'swinir'], (
        'not as in the option file'
    )
    return opt


def with_method(cached, kd, teachers=('swinir', 'edsr')):
    opt = copy.deepcopy(cached)
    opt['train']['kd'] = kd
    opt['teachers'] = {name: opt['teachers'][name] for name in teachers}
    return opt


def cached_batch(opt):
    """Images out of the cache as the dataset gives them, in squares of 48×48 from their left."""
    reader = CacheReader(opt['datasets']['train']['target_cache'])
    kinds = array_names(reader.key)
    lq, gt, *outputs = (
        torch.from_numpy(np.stack([reader.array(i, kind)[..., ::-1] for i in (0, 1, 2)]).copy())
        .permute(0, 3, 1, 2)[..., : 48 if kind == 'lq' else 96]
        .float()
        / 255
        for kind in kinds
    )
    return {'lq': lq, 'gt': gt, 'teachers': torch.cat(outputs, 1)}


@pytest.mark.slow
@pytest.mark.parametrize('teachers', [('swinir', 'edsr'), ('swinir',), ('edsr', 'swinir')], ids=str)
@pytest.mark.parametrize('method', ['LogitKD', 'CrossKD', 'FAKD', 'FitNet', 'DUKD'])
def test_the_cache_gives_the_output_of_the_teacher_that_is_named(
    cached, tmp_path, method, teachers
):
    kd = {'type': method, 'teacher': 'swinir'} if len(teachers) > 1 else {'type': method}
    opt = with_method(cached, kd, teachers)
    model = model_of(opt, tmp_path)
    batch = cached_batch(opt)
    with torch.no_grad():
        output = model.net_g(batch['lq'])
        online = teacher_net(opt, 'swinir')(batch['lq']).clamp(0, 1)
    context = model.distiller.teachers
    assert set(context.ensembles) == (set() if method == 'LogitKD' else {'swinir'}), (
        'nobody needs edsr'
    )
    for tap in context._taps.values():  # its first pass is a whole one
        if tap.positions:
            with torch.no_grad():
                tap.features(batch['lq'])
    runs = []
    for ensemble in context.ensembles.values():
        ensemble.networks[0].conv_last.register_forward_hook(
            lambda m, args, out: runs.append(tuple(args[0].shape))
        )
    log = step(model, batch)
    of_the_cache, of_the_other = (batch['teachers'][:, i : i + 3] for i in (3, 0))  # edsr is first
    assert log['l_distill'] == pytest.approx((output - of_the_cache).abs().mean().item(), rel=1e-4)
    assert (online - of_the_cache).abs().mean() < 0.2 * (online - of_the_other).abs().mean()
    assert log['l_distill'] != pytest.approx((output - of_the_other).abs().mean().item(), rel=1e-2)
    # The end of the teacher runs for the student's feature, and for DUKD's tiles: never for what is
    # in the cache.
    assert len(runs) == {'CrossKD': 1, 'DUKD': 1}.get(method, 0)


@pytest.mark.slow
def test_training_from_the_cache_needs_no_teacher(cached, tmp_path):
    opt = with_method(cached, {'type': 'LogitKD', 'teacher': 'swinir'})
    for block in opt['teachers'].values():
        block['weights'] = 'gone.pth'
    log = step(model_of(opt, tmp_path), cached_batch(opt))
    assert set(log) == {'l_pix', 'l_distill'}


@pytest.mark.slow
def test_a_cache_without_what_the_method_needs_is_refused(cached, tmp_path, make):
    opt = make('LogitKD', 'EDSR', ('RCAN',))
    opt['datasets'] = copy.deepcopy(cached['datasets'])
    with pytest.raises(CacheError, match='teachers.rcan: not in the cache'):
        model_of(opt, tmp_path)
    # One that is named and not in the cache is missed, whatever else is.
    opt = with_method(cached, {'type': 'LogitKD', 'teacher': 'edsr'})
    opt['teachers']['edsr'] = {
        **opt['teachers']['edsr'],
        'weights': opt['teachers']['swinir']['weights'],
    }
    with pytest.raises(CacheError, match='teachers.edsr.weights: another file'):
        model_of(opt, tmp_path)
    opt['teachers']['swinir'], opt['teachers']['edsr'] = (
        opt['teachers']['edsr'],
        cached['teachers']['edsr'],
    )
    model_of(opt, tmp_path)  # swinir differs, but is not asked for


@pytest.mark.slow
def test_fused_targets_are_no_teachers(cached, tmp_path, make):
    opt = make('MTKD', 'RCAN', ('SwinIR', 'EDSR'))
    opt['datasets'] = copy.deepcopy(cached['datasets'])
    with pytest.raises(CacheError, match='what: teachers in the cache, target in the option file'):
        model_of(opt, tmp_path)


@pytest.mark.slow
def test_scratch_does_not_look_at_the_cache(cached, tmp_path):
    opt = with_method(cached, {'type': 'Scratch'})
    del opt['teachers']
    assert set(step(model_of(opt, tmp_path), cached_batch(opt))) == {'l_pix'}
    assert parsed(opt)['datasets']['train']['target_cache']
