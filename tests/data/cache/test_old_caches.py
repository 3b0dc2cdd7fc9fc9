"""Caches that version 0.1.0 wrote are read, matched and completed."""

import json
import re
from pathlib import Path

import lmdb
import numpy as np
import pytest
from conftest import changed, parsed, snapshot
from helpers.caches import record_computed

from mtkd_basicsr.data.cache.checksums import damaged_images
from mtkd_basicsr.data.cache.format import id_of, manifest_of, partial_path, state_of
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.version import __version__

STAGES = {'stage_1': 'teachers', 'stage_2': 'target'}


@pytest.fixture
def computed(monkeypatch):
    """The names of the images that a teacher runs on from now on."""
    return record_computed(monkeypatch)


def another_version(path, version):
    """Rewrites the manifest of an unfinished cache as another version would have written it."""
    env = lmdb.open(partial_path(path), map_size=1 << 26)
    with env.begin(write=True) as txn:
        manifest = json.loads(txn.get(b'manifest'))
        manifest['version'] = version
        text = json.dumps(manifest, sort_keys=True).encode()
        txn.put(b'manifest', text)
        txn.put(b'id', id_of(text))
    env.close()


@pytest.mark.parametrize('stage', STAGES)
def test_a_complete_cache_is_read(version_0_1_0, stage):
    reader = CacheReader(f'{STAGES[stage]}.lmdb')
    assert reader.key.contents == STAGES[stage]
    assert reader.key.version == '0.1.0'
    assert reader.key.settings.precision == 'fp32'
    assert [image.name for image in reader.key.images] == ['brick.png', 'moon.png', 'rocket.png']
    assert id_of(manifest_of(reader.key)) == reader.id, 'the manifest is not written as it was'
    assert damaged_images(reader, workers=1) == {}


@pytest.mark.parametrize('stage', STAGES)
def test_a_complete_cache_is_kept(version_0_1_0, here, computed, stage):
    path = Path(f'{STAGES[stage]}.lmdb', 'data.mdb')
    before = path.stat().st_mtime_ns
    assert f'is complete: {STAGES[stage]} of 3 images' in here('cache', '-opt', f'{stage}.yml')
    here('cache', '-opt', f'{stage}.yml', '--overwrite')
    here('cache', '-opt', f'{stage}.yml', '--verify')
    assert path.stat().st_mtime_ns == before
    assert computed == []


@pytest.mark.parametrize('stage', STAGES)
def test_a_training_learns_from_a_complete_cache(version_0_1_0, monkeypatch, stage):
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models import build_model

    import mtkd_basicsr.distillers.teacher_provider as stage_2
    import mtkd_basicsr.models.fusion_model as stage_1

    def never(*args, **kwargs):
        raise AssertionError('a teacher was built')

    monkeypatch.setattr(stage_1, 'TeacherEnsemble', never)
    monkeypatch.setattr(stage_2, 'TeacherEnsemble', never)
    opt = parsed(read_options(version_0_1_0 / f'{stage}.yml'), True, version_0_1_0 / 'new')
    model = build_model(opt)
    train = opt['datasets']['train']
    batch = next(iter(build_dataloader(build_dataset(train), train, num_gpu=0, seed=0)))
    assert STAGES[stage] in batch
    before = snapshot(model.net_g)
    model.update_learning_rate(1, warmup_iter=-1)
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert all(np.isfinite(value) for value in model.get_current_log().values())
    assert changed(before, model.net_g)


def test_a_complete_cache_of_other_weights_does_not_match(version_0_1_0, here):
    Path('weights/edsr.pth').write_bytes(Path('weights/fusion.pth').read_bytes())
    printed = here('train', '-opt', 'stage_2.yml', expect=1)
    assert 'teachers.edsr.weights: another file' in printed


def test_an_unfinished_cache_is_completed(version_0_1_0, here, computed):
    assert state_of('unfinished.lmdb') == 'partial'
    printed = here('cache', '-opt', 'unfinished.yml', '--workers', '0')
    assert "'unfinished.lmdb' is complete: target of 3 images" in printed
    assert computed == ['rocket.png']
    reader = CacheReader('unfinished.lmdb')
    assert reader.key.version == '0.1.0', 'the version that began it'
    assert damaged_images(reader, workers=1) == {}
    whole = CacheReader('target.lmdb')
    for i in range(3):
        difference = np.abs(reader.array(i, 'target').astype(int) - whole.array(i, 'target'))
        assert difference.max() <= 1
    left = sorted(path.name for path in version_0_1_0.glob('unfinished.lmdb*'))
    assert left == ['unfinished.lmdb']


@pytest.mark.parametrize('version', [__version__, '99.0'])
def test_the_version_does_not_decide(version_0_1_0, here, computed, version):
    another_version('unfinished.lmdb', version)
    here('cache', '-opt', 'unfinished.yml', '--workers', '0')
    assert computed == ['rocket.png']
    assert CacheReader('unfinished.lmdb').key.version == version


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--self-ensemble'], 'self_ensemble: False in the cache, True requested'),
        (['--precision', 'bf16'], "precision: 'fp32' in the cache, 'bf16' requested"),
        (['--tile', '64'], 'tile: None in the cache, 64 requested'),
        (['--what', 'teachers'], 'what: target in the cache, teachers in the option file'),
    ],
)
def test_an_unfinished_cache_of_other_settings_is_refused(version_0_1_0, here, arguments, text):
    printed = here('cache', '-opt', 'unfinished.yml', *arguments, '--workers', '0', expect=1)
    assert 'an unfinished cache of other options, images or settings exists at' in printed
    assert text in printed
    assert len(re.findall(r' in the cache, ', printed)) == 1


def test_an_unfinished_cache_whose_manifest_is_damaged_is_begun_again(
    version_0_1_0, here, computed
):
    env = lmdb.open(partial_path('unfinished.lmdb'), map_size=1 << 26)
    with env.begin(write=True) as txn:
        txn.put(b'manifest', txn.get(b'manifest').replace(b'moon', b'noon'))
    env.close()
    printed = here('cache', '-opt', 'unfinished.yml', '--workers', '0', expect=1)
    assert 'is damaged: its manifest was changed' in printed
    here('cache', '-opt', 'unfinished.yml', '--workers', '0', '--overwrite')
    assert computed == ['brick.png', 'moon.png', 'rocket.png']
