import json
import pickle
import random
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from conftest import build, mtkd, override, parsed, stock, tiny, with_cache, write_options

from mtkd_basicsr.commands.cache.request import CacheRequest
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.data.cache.format import array_names
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import DataError, OptionError
from mtkd_basicsr.functional.self_ensemble import eightfold
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble


def images_of(folder):
    return {p.name: cv2.imread(str(p)) for p in sorted(Path(folder).iterdir())}


def to_tensor(image):
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255


def to_array(tensor):
    return (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]


def almost_equal(a, b):
    """Equal up to values that lie on the border between two levels."""
    difference = np.abs(a.astype(int) - b)
    return difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_a_cache_holds_images_and_targets(cached, photographs):
    opt = cached['MTKDModel']
    reader = CacheReader(opt['datasets']['train']['target_cache'])
    target = FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))
    gts = images_of(photographs / 'train' / 'GT')
    lqs = images_of(photographs / 'train' / 'LRx2')
    assert [image[0] for image in reader.manifest['images']] == sorted(gts)
    for i, (name, h, w) in enumerate(reader.manifest['images']):
        assert gts[name].shape == (h, w, 3)
        assert np.array_equal(reader.array(i, 'gt'), gts[name])
        assert np.array_equal(reader.array(i, 'lq'), lqs[name])
        assert almost_equal(reader.array(i, 'target'), to_array(target(to_tensor(lqs[name]))))
        with pytest.raises(ValueError, match='read-only'):
            reader.array(i, 'gt')[0] = 0


def test_a_cache_holds_the_output_of_each_teacher(cached, photographs):
    opt = cached['MTKDFusionModel']
    reader = CacheReader(opt['datasets']['train']['target_cache'])
    teachers = TeacherEnsemble(parse_teachers(opt), 2)
    for i, lq in enumerate(images_of(photographs / 'train' / 'LRx2').values()):
        for teacher, part in zip(teachers.names, teachers(to_tensor(lq)).split(3, 1)):
            assert almost_equal(reader.array(i, f'teacher/{teacher}'), to_array(part))


def test_the_manifest_says_what_is_in_the_cache(cached):
    manifest = CacheReader(cached['MTKDModel']['datasets']['train']['target_cache']).manifest
    assert set(manifest['teachers']) == {'swinir', 'edsr', 'rcan'}
    assert manifest['scale'] == 2
    assert all(len(t['sha256']) == 64 for t in (*manifest['teachers'].values(), manifest['fusion']))
    assert manifest['made_with'] == {
        'self_ensemble': False,
        'precision': 'fp32',
        'tile': None,
        'tile_overlap': 32,
    }


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['disk', 'lmdb', 'meta_info_file'])
def test_crops_are_those_of_paired_image_dataset(cached, photographs, tmp_path, backend):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=2)
    if backend == 'meta_info_file':
        (tmp_path / 'meta.txt').write_text(
            ''.join(
                f'{p.name} (96,120,3)\n' for p in sorted((photographs / 'train' / 'GT').iterdir())
            )
        )
        block['meta_info_file'] = str(tmp_path / 'meta.txt')
    if backend == 'lmdb':
        for key, folder in (('dataroot_gt', 'GT'), ('dataroot_lq', 'LRx2')):
            names = sorted(p.stem for p in (photographs / 'train' / folder).iterdir())
            make_lmdb_from_imgs(
                str(photographs / 'train' / folder),
                str(tmp_path / f'{folder}.lmdb'),
                [f'{n}.png' for n in names],
                names,
            )
            block[key] = str(tmp_path / f'{folder}.lmdb')
        block['io_backend'] = {'type': 'lmdb'}
        opt = dict(cached['MTKDModel'], name='from_lmdb')
        opt['datasets'] = {
            **opt['datasets'],
            'train': {**block, 'target_cache': str(tmp_path / 'from_lmdb.lmdb')},
        }
        mtkd('cache', '-opt', write_options(tmp_path / 'lmdb.yml', opt), cwd=tmp_path)
        block = dict(opt['datasets']['train'])

    def batches(block, workers=0):
        torch.manual_seed(0)
        random.seed(0)
        block = dict(block, num_worker_per_gpu=workers)
        return list(build_dataloader(build_dataset(block), block, num_gpu=0, seed=0))

    plain = batches(
        {**{k: v for k, v in block.items() if k != 'target_cache'}, 'type': 'PairedImageDataset'}
    )
    ours = batches(block)
    assert len(plain) == len(ours) >= 1
    for a, b in zip(plain, ours):
        assert torch.equal(a['lq'], b['lq'])
        assert torch.equal(a['gt'], b['gt'])
        assert a['gt_path'] == b['gt_path']
        assert b['target'].shape == b['gt'].shape
        assert b['target'].dtype == torch.float32


def test_target_is_cut_at_the_same_place_with_the_same_flips(cached):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=2)
    data = build_dataset(block)
    # In place of the target the cache gives the ground truth: both crops have to be equal, whatever
    # the flips.
    read = data.cache.image
    data.cache.image = lambda index, kind: read(index, 'gt' if kind == 'target' else kind)
    items = [data[i % len(data)] for i in range(24)]
    assert all(torch.equal(item['gt'], item['target']) for item in items)
    assert len({item['gt'].sum().item() for item in items}) > 12


def worker_start_methods():
    return [m for m in ('fork', 'spawn') if m in torch.multiprocessing.get_all_start_methods()]


@pytest.mark.slow
@pytest.mark.parametrize('method', worker_start_methods())
def test_loader_processes_read_the_cache(cached, method):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=2)
    data = build_dataset(block)
    data[0]  # opens the map in this process before the fork
    loader = torch.utils.data.DataLoader(
        data, batch_size=1, num_workers=2, multiprocessing_context=method
    )
    assert sum(batch['target'].shape == (1, 3, 32, 32) for batch in loader) == 3
    assert pickle.loads(pickle.dumps(data))[1]['target'].shape == (3, 32, 32)


def test_normalisation_reaches_the_target(cached):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=2)
    random.seed(3)
    plain = build_dataset(block)[0]
    random.seed(3)
    item = build_dataset({**block, 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]})[0]
    for key in ('lq', 'gt', 'target'):
        assert torch.allclose(item[key], plain[key] * 2 - 1, atol=1e-6)


def test_training_never_touches_a_teacher(cached, tmp_path, monkeypatch):
    from basicsr.models import build_model

    import mtkd_basicsr.distillers.teacher_provider as stage_2
    import mtkd_basicsr.models.fusion_model as stage_1

    def never(*args, **kwargs):
        raise AssertionError('a teacher was built')

    monkeypatch.setattr(stage_1, 'TeacherEnsemble', never)
    monkeypatch.setattr(stage_2, 'TeacherEnsemble', never)
    for opt in cached.values():
        opt = parsed(opt, True, tmp_path)
        model = build_model(opt)
        batch = next(
            iter(
                build_dataloader(
                    build_dataset(opt['datasets']['train']),
                    opt['datasets']['train'],
                    num_gpu=0,
                    seed=0,
                )
            )
        )
        model.feed_data(batch)
        model.optimize_parameters(1)
        assert all(np.isfinite(v) for v in model.get_current_log().values())


def test_cached_and_online_steps_are_the_same_but_for_rounding(cached, tmp_path):
    from basicsr.models import build_model

    for name, key in (('MTKDModel', 'target'), ('MTKDFusionModel', 'teachers')):
        opt = cached[name]
        reader = CacheReader(opt['datasets']['train']['target_cache'])
        lq, gt, *outputs = (to_tensor(reader.array(0, kind)) for kind in array_names(reader.key))
        logs = []
        for batch in ({'lq': lq, 'gt': gt, key: torch.cat(outputs, 1)}, {'lq': lq, 'gt': gt}):
            changed = parsed(json.loads(json.dumps(opt)), True, tmp_path)
            if key not in batch:
                del changed['datasets']['train']['target_cache']
            torch.manual_seed(0)
            model = build_model(changed)
            model.feed_data(batch)
            model.optimize_parameters(1)
            logs.append(model.get_current_log())
        assert logs[0].keys() == logs[1].keys()
        for loss in logs[0]:
            assert logs[0][loss] == pytest.approx(logs[1][loss], abs=0.003), (name, loss)


def test_order_of_the_teachers_in_the_option_file_does_not_matter(cached, tmp_path):
    from basicsr.models import build_model

    opt = cached['MTKDFusionModel']
    outputs = []
    for order in (('swinir', 'edsr', 'rcan'), ('rcan', 'swinir', 'edsr')):
        changed = parsed(
            {**opt, 'teachers': {name: opt['teachers'][name] for name in order}}, True, tmp_path
        )
        model = build_model(changed)
        data = build_dataset(changed['datasets']['train'])
        random.seed(0)
        model.feed_data(torch.utils.data.default_collate([data[0]]))
        outputs.append(dict(zip(order, model.inputs.split(3, 1))))
    assert all(torch.equal(outputs[0][name], outputs[1][name]) for name in outputs[0])
    assert not torch.equal(outputs[0]['edsr'], outputs[0]['rcan'])


@pytest.mark.slow
def test_whole_training_from_the_cache_on_an_unmodified_tree(cached, basicsr_tree, tmp_path):
    for name, opt in cached.items():
        printed = stock(
            basicsr_tree, 'train.py', '-opt', write_options(tmp_path / f'{name}_tree.yml', opt)
        )
        assert 'from a memory map; no teacher is needed' in printed
        assert 'self_ensemble: False' in printed
        # Stage 1 needs its teachers for the images of the validation, which are in no cache.
        assert 'Teacher edsr' not in printed
        assert '# psnr:' in printed


@pytest.mark.slow
def test_without_a_cache_the_teachers_run(make_options, tmp_path):
    opt = with_cache(make_options('MTKDModel', name='online'), tmp_path / 'none.lmdb')
    printed = mtkd('train', '-opt', write_options(tmp_path / 'online.yml', opt), cwd=tmp_path)
    assert "none.lmdb' does not exist: the teachers run at every step" in printed
    assert 'Teacher edsr: EDSR' in printed


@pytest.mark.slow
def test_names_with_dots_do_not_collide(make_options, photographs, tmp_path):
    for kind in ('GT', 'LRx2'):
        (tmp_path / 'dots' / kind).mkdir(parents=True)
        for name, source in (('a.v2.png', 'brick'), ('a.v3.png', 'moon')):
            image = cv2.imread(str(photographs / 'train' / kind / f'{source}.png'))
            cv2.imwrite(str(tmp_path / 'dots' / kind / name), image)
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'dots.lmdb')
    opt['datasets']['train'].update(
        dataroot_gt=str(tmp_path / 'dots' / 'GT'), dataroot_lq=str(tmp_path / 'dots' / 'LRx2')
    )
    mtkd('cache', '-opt', write_options(tmp_path / 'dots.yml', opt), cwd=tmp_path)
    reader = CacheReader(tmp_path / 'dots.lmdb')
    assert [image[0] for image in reader.manifest['images']] == ['a.v2.png', 'a.v3.png']
    for i, source in enumerate(('brick', 'moon')):
        assert np.array_equal(
            reader.array(i, 'gt'), cv2.imread(str(photographs / 'train' / 'GT' / f'{source}.png'))
        )

    # BasicSR's own LMDB cuts the keys: two images are one there, which has to be said.
    for kind in ('GT', 'LRx2'):
        make_lmdb_from_imgs(
            str(tmp_path / 'dots' / kind),
            str(tmp_path / f'{kind}.lmdb'),
            ['a.v2.png', 'a.v3.png'],
            ['a.v2', 'a.v3'],
        )
    block = dict(
        opt['datasets']['train'],
        phase='train',
        scale=2,
        io_backend={'type': 'lmdb'},
        dataroot_gt=str(tmp_path / 'GT.lmdb'),
        dataroot_lq=str(tmp_path / 'LRx2.lmdb'),
    )
    with pytest.raises(DataError, match="has the name 'a' twice"):
        build_dataset(block)


def test_a_list_that_names_an_image_twice_is_named(make_options, tmp_path, here):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'c.lmdb')
    names = tmp_path / 'names.txt'
    names.write_text('rocket.png\nmoon.png\nrocket.png\n')
    opt['datasets']['train']['meta_info_file'] = str(names)
    printed = here('cache', '-opt', write_options(tmp_path / 'a.yml', opt), expect=1)
    text = f"datasets.train.meta_info_file: '{names}' names 'rocket.png' twice; remove a line"
    assert text in printed


@pytest.mark.slow
def test_targets_of_a_self_ensemble_are_means_over_eight(make_options, photographs, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'self.lmdb')
    mtkd(
        'cache', '-opt', write_options(tmp_path / 'self.yml', opt), '--self-ensemble', cwd=tmp_path
    )
    reader = CacheReader(tmp_path / 'self.lmdb')
    target = FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))
    name = reader.manifest['images'][0][0]
    lq = to_tensor(cv2.imread(str(photographs / 'train' / 'LRx2' / name)))
    assert reader.manifest['made_with']['self_ensemble'] is True
    assert almost_equal(reader.array(0, 'target'), to_array(eightfold(target, lq)))
    assert not almost_equal(reader.array(0, 'target'), to_array(target(lq)))


def test_eightfold_is_the_mean_over_the_symmetries_of_the_square():
    net = build(tiny('EDSR', 2)).eval()
    x = torch.rand(1, 3, 10, 14)
    with torch.no_grad():
        mean = eightfold(net, x)
        for turned in (x.flip(-1), x.flip(-2), x.transpose(-1, -2)):
            again = eightfold(net, turned)
            back = (
                again.transpose(-1, -2)
                if turned.shape != x.shape
                else again.flip(-1 if torch.equal(turned, x.flip(-1)) else -2)
            )
            assert (back - mean).abs().max() < 1e-5
    assert (
        torch.equal(eightfold(lambda t: t, x), x)
        or (eightfold(lambda t: t, x) - x).abs().max() < 1e-6
    )


@pytest.mark.slow
def test_targets_can_be_computed_in_tiles(make_options, photographs, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'tiles.lmdb')
    mtkd(
        'cache',
        '-opt',
        write_options(tmp_path / 'tiles.yml', opt),
        '--tile',
        '40',
        '--tile-overlap',
        '24',
        cwd=tmp_path,
    )
    reader = CacheReader(tmp_path / 'tiles.lmdb')
    target = FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))
    lq = to_tensor(
        cv2.imread(str(photographs / 'train' / 'LRx2' / reader.manifest['images'][0][0]))
    )
    difference = np.abs(reader.array(0, 'target').astype(int) - to_array(target(lq)))
    assert difference.mean() < 1, 'RCAN pools over what it sees, so that tiles are not exact'
    text = mtkd(
        'cache',
        '-opt',
        str(tmp_path / 'tiles.yml'),
        '--tile',
        '16',
        '--tile-overlap',
        '16',
        cwd=tmp_path,
        expect=1,
    )
    assert '--tile-overlap: 16; expected a whole number from 0 on, less than --tile (16)' in text


@pytest.mark.slow
def test_a_second_call_does_nothing_and_others_are_not_overwritten(cached, tmp_path):
    path = Path(cached['MTKDModel']['datasets']['train']['target_cache'])
    before = (path / 'data.mdb').stat().st_mtime_ns
    assert 'is complete: target of 3 images' in mtkd(
        'cache', '-opt', str(tmp_path / 'MTKDModel.yml'), cwd=tmp_path
    )
    assert (path / 'data.mdb').stat().st_mtime_ns == before
    printed = mtkd(
        'cache', '-opt', str(tmp_path / 'MTKDModel.yml'), '--self-ensemble', cwd=tmp_path, expect=1
    )
    assert (
        'self_ensemble: False in the cache, True requested; replace it with --overwrite' in printed
    )
    assert (path / 'data.mdb').stat().st_mtime_ns == before
    mtkd(
        'cache',
        '-opt',
        str(tmp_path / 'MTKDModel.yml'),
        '--self-ensemble',
        '--overwrite',
        cwd=tmp_path,
    )
    assert CacheReader(path).manifest['made_with']['self_ensemble'] is True
    assert sorted(p.name for p in tmp_path.glob('MTKDModel.lmdb*')) == ['MTKDModel.lmdb']


def test_grey_images_have_no_targets(cached):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=2, color='y')
    with pytest.raises(OptionError, match="datasets.train.color: 'y'"):
        build_dataset(block)


def test_the_manifest_is_json(cached):
    env = lmdb.open(
        cached['MTKDModel']['datasets']['train']['target_cache'], readonly=True, lock=False
    )
    with env.begin() as txn:
        assert json.loads(txn.get(b'manifest'))['what'] == 'target'
    env.close()


def test_the_method_says_what_a_cache_holds(make_options):
    """Not a block that another method would use."""
    opt = make_options('MTKDModel')
    opt.update(model_type='KDModel')
    opt['train']['kd'] = {'type': 'LogitKD', 'teacher': 'edsr'}
    opt['datasets']['train']['target_cache'] = 'c.lmdb'
    assert CacheRequest.of(parsed(opt), None).contents == 'teachers'
    opt['train']['kd'] = {'type': 'MTKD'}
    assert CacheRequest.of(parsed(opt), None).contents == 'target'
    assert CacheRequest.of(parsed(opt), 'teachers').contents == 'teachers'


@pytest.mark.parametrize('verify', [(), ('--verify',)])
@pytest.mark.parametrize(
    ('key', 'value', 'text'),
    [
        ('scale', 'two', "scale: 'two'; expected a whole number from 1 on"),
        ('scale', 0, 'scale: 0; expected a whole number from 1 on'),
        ('scale', None, 'scale: None; expected a whole number from 1 on'),
        ('datasets__train__dataroot_lq', None, 'datasets.train.dataroot_lq: missing'),
        ('datasets__train__target_cache', [], 'datasets.train.target_cache: []; expected the path'),
        ('datasets__train__target_cache', -1, 'datasets.train.target_cache: -1; expected the path'),
    ],
)
def test_wrong_values_are_named(cached, here, tmp_path, key, value, text, verify):
    opt = override(cached['MTKDModel'], {key: value})
    path = write_options(tmp_path / 'wrong.yml', opt)
    printed = here('cache', '-opt', path, *verify, expect=1)
    assert text in printed
    assert 'Traceback' not in printed
