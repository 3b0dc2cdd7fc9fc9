"""``mtkd cache --from``: fused targets out of the outputs that stage 1 has cached."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from basicsr.data import build_dataset
from conftest import parsed, tiny, write_options, write_weights

from mtkd_basicsr.data.cache.checksums import damaged_images
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.teachers.network import NetworkTeacher


@pytest.fixture
def stages(cached, photographs, tmp_path):
    """Option file of stage 2 with a cache to be made, and the finished cache of stage 1."""
    shutil.copytree(photographs / 'train', tmp_path / 'train')
    opt = cached['MTKDModel']
    opt['datasets']['train'].update(
        target_cache=str(tmp_path / 'fused.lmdb'),
        dataroot_gt=str(tmp_path / 'train' / 'GT'),
        dataroot_lq=str(tmp_path / 'train' / 'LRx2'),
    )
    outputs = cached['MTKDFusionModel']['datasets']['train']['target_cache']
    return opt, outputs, tmp_path


@pytest.fixture
def no_teachers(monkeypatch):
    def refuse(self, *args):
        raise AssertionError('a teacher was built')

    monkeypatch.setattr(NetworkTeacher, '__init__', refuse)


def cache(here, stages, *arguments, expect=0):
    opt, _, folder = stages
    file = write_options(folder / 'stage_2.yml', opt)
    return here('cache', '-opt', file, '--workers', '0', *arguments, expect=expect)


@pytest.mark.parametrize('tile', [(), ('--tile', '40', '--tile-overlap', '16')])
def test_targets_without_teachers(here, stages, no_teachers, tile):
    opt, outputs, folder = stages
    printed = cache(here, stages, '--from', outputs, *tile)
    assert 'is complete: target of 3 images' in printed
    reader = CacheReader(folder / 'fused.lmdb')
    assert damaged_images(reader, workers=1) == {}
    assert reader.key.settings.outputs_from == CacheReader(outputs).key.settings.to_manifest()
    direct = CacheReader(folder / 'MTKDModel.lmdb')
    for i in range(3):
        for kind in ('lq', 'gt'):
            assert np.array_equal(reader.array(i, kind), direct.array(i, kind))
        difference = np.abs(reader.array(i, 'target').astype(int) - direct.array(i, 'target'))
        # Outputs rounded to 8 bits move the target by a level or so. Tiles move it where they meet:
        # the windows of the random fusion network lie elsewhere.
        if tile:
            assert difference.mean() < 2
            assert np.median(difference) <= 1
        else:
            assert difference.max() <= 2
    assert len(build_dataset(parsed(opt)['datasets']['train'])) == 3
    assert 'is complete' in cache(here, stages, '--from', outputs, *tile)


def test_the_key_says_what_the_targets_were_computed_from(here, stages, no_teachers):
    _, outputs, folder = stages
    cache(here, stages, '--from', outputs)
    printed = cache(here, stages, expect=1)
    assert "outputs_from: {'precision': 'fp32', 'self_ensemble': False" in printed
    assert 'None requested' in printed
    shutil.copytree(folder / 'MTKDModel.lmdb', folder / 'fused.lmdb', dirs_exist_ok=True)
    printed = cache(here, stages, '--from', outputs, expect=1)
    assert 'outputs_from: None in the cache, {' in printed


def test_a_user_is_told_of_it(here, stages):
    _, outputs, folder = stages
    (folder / 'empty.lmdb').mkdir()
    (folder / 'empty.lmdb' / 'data.mdb').touch()
    printed = cache(here, stages)
    assert f"'{outputs}' holds the outputs of these teachers, rounded to 8 bits" in printed
    assert f'--from {outputs}' in printed
    direct = CacheReader(folder / 'MTKDModel.lmdb')
    made = CacheReader(folder / 'fused.lmdb')
    assert all(np.array_equal(made.array(i, 'target'), direct.array(i, 'target')) for i in range(3))


def other_weights(opt, outputs, folder):
    write_weights(opt['teachers']['edsr']['weights'], tiny('EDSR', 2), seed=99)


def other_network(opt, outputs, folder):
    opt['teachers']['edsr']['network']['res_scale'] = 0.5


def other_images(opt, outputs, folder):
    path = folder / 'train' / 'LRx2' / 'moon.png'
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))


def one_image_less(opt, outputs, folder):
    for kind in ('GT', 'LRx2'):
        (folder / 'train' / kind / 'moon.png').unlink()


def no_fused_target(opt, outputs, folder):
    opt.update(model_type='KDModel')
    opt['train']['kd'] = {'type': 'LogitKD', 'teacher': 'edsr'}


def the_cache_itself(opt, outputs, folder):
    opt['datasets']['train']['target_cache'] = outputs


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (other_weights, 'teachers.edsr.weights: another file'),
        (other_network, 'teachers.edsr.network.res_scale: None in the cache, 0.5'),
        (other_images, r'was made of other images: datasets.train.dataroot_lq: 1 of 3 images'),
        (one_image_less, 'images: 1 only in the cache (moon.png)'),
        (no_fused_target, '--from: for fused targets; this training needs none'),
        (the_cache_itself, 'is datasets.train.target_cache itself; expected a cache of stage 1'),
    ],
)
def test_other_outputs_are_refused(here, stages, no_teachers, change, text):
    opt, outputs, folder = stages
    change(opt, outputs, folder)
    before = Path(outputs, 'data.mdb').read_bytes()
    assert text in cache(here, stages, '--from', outputs, '--overwrite', expect=1)
    assert Path(outputs, 'data.mdb').read_bytes() == before
    assert not (folder / 'fused.lmdb').exists()


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('nothing.lmdb', "no target cache at 'nothing.lmdb'"),
        ('MTKDModel.lmdb', 'what: target in the cache, teachers in the option file'),
    ],
)
def test_what_holds_no_outputs(here, stages, name, text):
    assert text in cache(here, stages, '--from', name, expect=1)


@pytest.mark.parametrize('arguments', [('--self-ensemble',), ('--verify',), ('--what', 'teachers')])
def test_arguments_that_need_teachers(here, stages, arguments):
    printed = cache(here, stages, '--from', stages[1], *arguments, expect=1)
    assert f'--from: not allowed with {arguments[0]}' in printed
