"""What ``mtkd cache`` may lose or mix up when it repairs, replaces or goes on with a cache."""

import copy
import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny, with_cache, write_options, write_weights

from mtkd_basicsr.commands.cache import targets as making
from mtkd_basicsr.data.cache.format import state_of
from mtkd_basicsr.data.cache.reader import CacheReader

INVERTED = ('lq', 'gt')


@pytest.fixture
def stage(make_options, tmp_path, here):
    """Make the options of a stage, with a cache; call ``mtkd cache`` on them."""

    class Stage:
        def __init__(self, model='MTKDFusionModel'):
            self.path = tmp_path / 'cache.lmdb'
            self.opt = with_cache(make_options(model), self.path)
            for kind in INVERTED:  # images of its own, to be changed
                key = f'dataroot_{kind}'
                folder = tmp_path / f'own_{kind}'
                shutil.copytree(self.opt['datasets']['train'][key], folder)
                self.opt['datasets']['train'][key] = str(folder)

        def cache(self, *arguments, expect=0, **changes):
            opt = {**self.opt, **changes}
            options = write_options(tmp_path / 'o.yml', opt)
            return here('cache', '-opt', options, '--workers', '0', *arguments, expect=expect)

        def images(self):
            roots = [self.opt['datasets']['train'][f'dataroot_{kind}'] for kind in INVERTED]
            return [sorted(Path(root).glob('*.png')) for root in roots]

        def invert_one(self):
            for files in self.images():
                cv2.imwrite(str(files[0]), 255 - cv2.imread(str(files[0])))

        @property
        def key(self):
            return CacheReader(self.path).key

    return Stage


@pytest.fixture
def stopped(monkeypatch):
    """Let the next call stop after its first batch."""

    def stop(count=1):
        compute_images = making.compute_images

        def compute_some(writer, targets, batches, *more):
            some = [batch for batch, _ in zip(batches, range(count))]
            compute_images(writer, targets, iter(some), *more)
            raise KeyboardInterrupt

        patch = pytest.MonkeyPatch()
        patch.setattr(making, 'compute_images', compute_some)
        patch.setattr(making, 'choose_batch_pixels', lambda *_: 1)
        return patch

    return stop


def test_a_repair_does_not_leave_out_teachers(stage):
    run = stage()
    run.cache()
    names = list(run.opt['teachers'])
    assert len(names) == 3
    only = {names[0]: run.opt['teachers'][names[0]]}
    assert 'is complete' in run.cache(teachers=only)
    run.invert_one()
    assert 'images have other contents' in run.cache(teachers=only, expect=1)
    printed = run.cache('--overwrite', teachers=only, expect=1)
    text = f'also holds the outputs of {", ".join(sorted(names[1:]))}, which the option file does'
    assert text in printed
    assert set(run.key.teachers) == set(names)
    run.cache('--overwrite')
    assert set(run.key.teachers) == set(names)
    assert 'is complete' in run.cache(teachers=only)
    # Who asks for another cache gets it.
    other = copy.deepcopy(only)
    other[names[0]]['weights'] = write_weights(
        run.path.parent / 'other.pth', other[names[0]]['network'], 9
    )
    run.cache('--overwrite', teachers=other)
    assert set(run.key.teachers) == {names[0]}


def without_metadata(path):
    content = torch.load(path, weights_only=True)
    torch.save({'params': content.get('params', content)}, path)
    return path


def test_the_order_of_teachers_that_a_fusion_network_does_not_know_is_compared(stage, stopped):
    run = stage('MTKDModel')
    swapped = dict(reversed(run.opt['teachers'].items()))
    # This one knows it.
    run.cache()
    assert run.key.teacher_order is None
    assert 'is complete' in run.cache(teachers=swapped)

    without_metadata(run.opt['fusion']['weights'])
    run.cache('--overwrite')
    assert run.key.teacher_order == tuple(run.opt['teachers'])
    assert 'is complete' in run.cache()
    text = (
        f'teachers: {", ".join(run.opt["teachers"])} in the cache, {", ".join(swapped)} in the '
        'option file; their order matters'
    )
    assert text in run.cache(teachers=swapped, expect=1)
    shutil.rmtree(run.path)
    patch = stopped()
    with patch.context():
        run.cache(expect=130)
    patch.undo()
    assert state_of(run.path) == 'partial'
    assert text in run.cache(teachers=swapped, expect=1)
    run.cache()
    assert run.key.teacher_order == tuple(run.opt['teachers'])


def test_an_empty_folder_replaces_nothing(stage, tmp_path):
    run = stage()
    empty = tmp_path / 'empty'
    empty.mkdir()
    train = {**run.opt['datasets']['train'], 'dataroot_gt': str(empty), 'dataroot_lq': str(empty)}
    datasets = {**run.opt['datasets'], 'train': train}
    text = f"datasets.train.dataroot_gt: no images in '{empty}'"
    assert text in run.cache(datasets=datasets, expect=1)
    assert state_of(run.path) == 'none'
    run.cache()
    before = run.key
    assert text in run.cache('--overwrite', datasets=datasets, expect=1)
    assert run.key == before


def test_an_unfinished_cache_keeps_its_precision_beside_the_one_that_it_replaces(stage, stopped):
    run = stage()
    run.cache()
    name = next(iter(run.opt['teachers']))
    block = run.opt['teachers'][name]
    block['weights'] = write_weights(run.path.parent / 'other.pth', block['network'], 9)
    patch = stopped()
    with patch.context():
        run.cache('--overwrite', '--precision', 'bf16', expect=130)
    patch.undo()
    printed = run.cache('--overwrite')
    assert 'bf16' in printed
    assert 'PSNR on Y of 2 images' in printed, 'one was there'
    assert run.key.settings.precision == 'bf16'


def test_what_is_left_of_a_repair_is_named(stage, stopped):
    run = stage()
    run.cache()
    kept = {file: file.read_bytes() for files in run.images() for file in files}
    run.invert_one()
    patch = stopped()
    with patch.context():
        run.cache('--overwrite', expect=130)
    patch.undo()
    for file, content in kept.items():
        file.write_bytes(content)
    printed = run.cache()
    partial = f'{run.path}.partial'
    assert 'is complete' in printed
    assert f"'{partial}' (0.00 GB) was begun to replace it; delete it unless" in printed
    shutil.rmtree(partial)
    assert 'was begun' not in run.cache()


def test_an_image_of_the_size_of_a_border_has_a_target_and_no_psnr(stage):
    run = stage()
    scale = run.opt['scale']
    lq, gt = (files[0] for files in run.images())
    for file, side in ((lq, 2), (gt, 2 * scale)):
        cv2.imwrite(str(file), cv2.imread(str(file))[:side, :side])
    printed = run.cache()
    assert 'PSNR on Y of 2 images' in printed
    assert len(run.key.images) == 3
    for files in run.images():
        for file in files[1:]:
            file.unlink()
    run.path.rename(run.path.with_name('other.lmdb'))
    assert 'teachers of 1 images' in run.cache()


def test_outputs_of_images_whose_names_are_not_unicode(stage, tmp_path):
    run = stage()
    scale = run.opt['scale']
    outputs = tmp_path / 'outputs'
    outputs.mkdir()
    for files in run.images():
        for file in files[1:]:
            file.unlink()
    (lq,), (gt,) = run.images()
    name = b'a\xff.png'.decode('utf-8', 'surrogateescape')
    lq, gt = lq.rename(lq.with_name(name)), gt.rename(gt.with_name(name))
    shutil.copy(gt, outputs / name)
    names = list(run.opt['teachers'])
    teachers = {names[0]: run.opt['teachers'][names[0]], 'folder': {'images': str(outputs)}}
    network = {**tiny('DCTSwin', scale), 'in_chans': 6}
    run.opt['network_g'] = network
    run.opt['datasets'] = {'train': run.opt['datasets']['train']}
    assert 'is complete: teachers of 1 images' in run.cache(teachers=teachers)
    assert 'is complete' in run.cache(teachers=teachers)


@pytest.mark.parametrize('stage_of', ['stage_1', 'stage_2'])
def test_a_repaired_cache_keeps_its_format(version_0_1_0, here, stage_of):
    path = {'stage_1': 'teachers.lmdb', 'stage_2': 'target.lmdb'}[stage_of]
    before = CacheReader(path)
    assert before.key.format == 1
    kept = before.array(1, 'gt').copy()
    roots = before.key.images[0].name
    (file,) = Path().glob(f'**/GT*/{roots}')
    cv2.imwrite(str(file), 255 - cv2.imread(str(file)))
    here('cache', '-opt', f'{stage_of}.yml', '--overwrite')
    after = CacheReader(path)
    assert dataclasses.replace(after.key, version=before.key.version) == before.key
    assert after.key.format == 1
    assert np.array_equal(after.array(1, 'gt'), kept)
    assert np.array_equal(after.array(0, 'gt'), cv2.imread(str(file)))
