"""What identifies a cache, and where a difference in it decides."""

import dataclasses
import json

import pytest

from mtkd_basicsr.data.cache.format import id_of, key_in, manifest_of
from mtkd_basicsr.data.cache.inputs import CachedImage, CacheInput
from mtkd_basicsr.data.cache.key import (
    FORMAT,
    KEYS,
    CacheKey,
    CacheSettings,
    Use,
    option_keys,
)

EDSR = CacheInput({'type': 'EDSR', 'num_feat': 8}, 'e' * 64)
RCAN = CacheInput({'type': 'RCAN'}, 'c' * 64, 'params')
FOLDER = CacheInput({'type': 'images'}, 'd' * 64, is_folder=True)
FUSION = CacheInput({'type': 'DCTSwin'}, 'f' * 64)
IMAGES = (CachedImage('a.png', 64, 80), CachedImage('b.png', 64, 96))
SETTINGS = CacheSettings(precision='fp32')
TARGET = CacheKey('target', 4, {'edsr': EDSR, 'rcan': RCAN}, FUSION, IMAGES, SETTINGS, '0.1.0')
TEACHERS = dataclasses.replace(TARGET, contents='teachers', fusion=None)
WRITE = Use.RESUME | Use.KEEP
ALL_USES = (Use.RESUME, Use.KEEP, Use.TRAIN, Use.READ)


def changed(key=TARGET, **changes):
    return dataclasses.replace(key, **changes)


def set_to(**changes):
    return changed(settings=dataclasses.replace(SETTINGS, **changes))


@pytest.mark.parametrize('use', ALL_USES, ids=str)
@pytest.mark.parametrize(
    ('cached', 'wanted', 'decides', 'text'),
    [
        (
            changed(scale=2),
            TARGET,
            Use.EVERYWHERE,
            'scale: 2 in the cache, 4 in the option file',
        ),
        (
            TEACHERS,
            TARGET,
            WRITE | Use.TRAIN,
            'what: teachers in the cache, target in the option file',
        ),
        (
            TARGET,
            changed(teachers={'edsr': EDSR}),
            WRITE | Use.TRAIN,
            'teachers.rcan: only in the cache',
        ),
        (
            TARGET,
            changed(teachers={'edsr': EDSR, 'rcan': RCAN, 'more': RCAN}),
            WRITE | Use.TRAIN,
            'teachers.more: not in the cache',
        ),
        (
            TEACHERS,
            changed(TEACHERS, teachers={'edsr': EDSR}),
            Use.RESUME,
            'teachers.rcan: only in the cache',
        ),
        (
            TARGET,
            changed(teachers={'edsr': CacheInput({'type': 'EDSR'}, 'e' * 64), 'rcan': RCAN}),
            WRITE | Use.TRAIN,
            'teachers.edsr.network.num_feat: 8 in the cache, None in the option file',
        ),
        (
            TARGET,
            changed(teachers={'edsr': EDSR, 'rcan': dataclasses.replace(RCAN, param_key='ema')}),
            WRITE | Use.TRAIN,
            "teachers.rcan.param_key: 'params' in the cache, 'ema' in the option file",
        ),
        (
            TARGET,
            changed(fusion=dataclasses.replace(FUSION, sha256='0' * 64)),
            WRITE | Use.TRAIN,
            'fusion.weights: another file (SHA-256 ffffffffffff in the cache, 000000000000 here)',
        ),
        (
            changed(teachers={'edsr': FOLDER, 'rcan': RCAN}),
            changed(teachers={'edsr': dataclasses.replace(FOLDER, sha256='0' * 64), 'rcan': RCAN}),
            WRITE | Use.TRAIN,
            'teachers.edsr.images: other files '
            '(SHA-256 dddddddddddd in the cache, 000000000000 here)',
        ),
        (
            changed(teacher_order=('edsr', 'rcan')),
            changed(teacher_order=('rcan', 'edsr')),
            WRITE | Use.TRAIN,
            'teachers: edsr, rcan in the cache, rcan, edsr in the option file; their order matters',
        ),
        (TARGET, changed(teacher_order=('rcan', 'edsr')), Use.NOWHERE, ''),
        (changed(teacher_order=('rcan', 'edsr')), TARGET, Use.NOWHERE, ''),
        (
            TARGET,
            changed(images=(*IMAGES, CachedImage('c.png', 8, 8))),
            WRITE | Use.READ,
            'images: 1 not in the cache (c.png)',
        ),
        (
            TARGET,
            changed(images=IMAGES[:1]),
            WRITE | Use.READ,
            'images: 1 only in the cache (b.png)',
        ),
        (
            TARGET,
            changed(images=(IMAGES[0], CachedImage('b.png', 64, 80))),
            WRITE,
            'images: 1 of another size in the cache (b.png)',
        ),
        (TARGET, changed(images=IMAGES[::-1]), Use.RESUME, 'images: in another order in the cache'),
        (
            TARGET,
            set_to(self_ensemble=True),
            WRITE,
            'self_ensemble: False in the cache, True requested',
        ),
        (
            TARGET,
            set_to(precision='bf16'),
            WRITE,
            "precision: 'fp32' in the cache, 'bf16' requested",
        ),
        (TARGET, set_to(tile=64), WRITE, 'tile: None in the cache, 64 requested'),
        (TARGET, set_to(tile_overlap=16), WRITE, 'tile_overlap: 32 in the cache, 16 requested'),
        (
            set_to(unknown={'gamma': 2}),
            TARGET,
            WRITE,
            'gamma: 2 in the cache, a setting that this version does not know',
        ),
        (TARGET, changed(version='9.9'), Use.NOWHERE, ''),
        (
            changed(format=FORMAT + 1),
            TARGET,
            Use.EVERYWHERE,
            f'format: {FORMAT + 1} in the cache, but this version reads 1 and {FORMAT}',
        ),
    ],
)
def test_one_difference(cached, wanted, decides, text, use):
    found = cached.differences(wanted, use)
    if use & decides:
        assert len(found) == 1
        assert found[0].startswith(text)
    else:
        assert found == []


def test_each_part_of_the_key_is_in_the_table():
    names = {part.name for part in KEYS}
    fields = {field.name for field in dataclasses.fields(CacheKey)} - {'settings', 'format'}
    assert names >= fields | set(CacheSettings.names())


@pytest.mark.parametrize('use', ALL_USES, ids=str)
def test_a_digest_that_is_not_known_here_is_not_compared(use):
    away = changed(
        teachers={name: dataclasses.replace(t, sha256=None) for name, t in TARGET.teachers.items()},
        fusion=dataclasses.replace(FUSION, sha256=None),
    )
    assert TARGET.differences(away, use) == []


@pytest.mark.parametrize('use', ALL_USES, ids=str)
def test_the_order_of_teachers_is_no_difference(use):
    turned = changed(teachers={'rcan': RCAN, 'edsr': EDSR})
    assert TARGET.differences(turned, use) == []


@pytest.mark.parametrize(
    'key',
    [TARGET, TEACHERS, changed(teacher_order=('rcan', 'edsr'))],
    ids=['target', 'teachers', 'ordered'],
)
def test_a_manifest_gives_its_key_back(key):
    assert key_in(manifest_of(key)) == key


def test_a_manifest_is_written_as_by_version_0_1_0():
    """An unfinished cache of it stays the same file."""
    part = '{"network": {"type": "%s"}, "param_key": null, "sha256": "%s"}'
    key = CacheKey(
        'target',
        2,
        {'b': CacheInput({'type': 'RCAN'}, '1'), 'a': CacheInput({'type': 'EDSR'}, '2')},
        CacheInput({'type': 'DCTSwin'}, '3'),
        (CachedImage('x.png', 6, 8),),
        CacheSettings(precision='fp32'),
        '0.1.0',
        format=1,
    )
    expected = (
        f'{{"format": 1, "fusion": {part % ("DCTSwin", 3)}, "images": [["x.png", 6, 8]], '
        '"made_with": {"precision": "fp32", "self_ensemble": false, "tile": null, '
        f'"tile_overlap": 32}}, "scale": 2, "teachers": {{"a": {part % ("EDSR", 2)}, '
        f'"b": {part % ("RCAN", 1)}}}, "version": "0.1.0", "what": "target"}}'
    )
    assert manifest_of(key).decode() == expected
    assert key_in(manifest_of(key)).format == 1
    new = dataclasses.replace(key, format=FORMAT)
    assert manifest_of(new).decode() == expected.replace('"format": 1', '"format": 2')
    assert new.differences(key_in(manifest_of(key)), Use.EVERYWHERE) == []
    assert len(id_of(manifest_of(key))) == 64


@pytest.mark.parametrize('name', CacheSettings.names())
def test_a_setting_that_an_older_cache_does_not_record(name):
    manifest = TARGET.to_manifest()
    manifest['made_with'].pop(name, None)
    settings = CacheKey.from_manifest(manifest).settings
    assert getattr(settings, name) == getattr(CacheSettings(), name)


def test_a_later_setting_is_recorded_where_it_is_not_what_older_caches_have():
    @dataclasses.dataclass(frozen=True)
    class Later(CacheSettings):
        gamma: float = 1.0

    older = SETTINGS.to_manifest()
    assert set(older) == {'self_ensemble', 'precision', 'tile', 'tile_overlap'}
    assert Later(precision='fp32').to_manifest() == older
    assert Later.from_manifest(older).gamma == 1.0
    changed_setting = Later(precision='fp32', gamma=2.2)
    assert changed_setting.to_manifest() == {**older, 'gamma': 2.2}
    assert Later.from_manifest(changed_setting.to_manifest()) == changed_setting


def test_a_setting_decides_only_where_it_is_known():
    for part in KEYS:
        if part.name in CacheSettings.names():
            assert not part.decides & ~WRITE, part.name


def test_settings_of_a_newer_cache_stay_in_its_manifest():
    manifest = {**TARGET.to_manifest(), 'made_with': {'precision': 'bf16', 'gamma': 2}}
    again = CacheKey.from_manifest(manifest).to_manifest()
    assert again['made_with']['gamma'] == 2


@pytest.mark.parametrize(
    'content', [b'', b'[]', b'{}', b'3', b'null', json.dumps({'format': 1, 'what': 'x'}).encode()]
)
def test_other_json_is_no_manifest(content):
    with pytest.raises(ValueError):  # noqa: PT011
        key_in(content)


def test_another_format_is_not_taken_apart():
    key = key_in(json.dumps({'format': 7, 'anything': 'else'}).encode())
    assert TARGET.format == FORMAT
    assert key.differences(TARGET, Use.TRAIN) == [
        'format: 7 in the cache, but this version reads 1 and 2'
    ]


def test_options_that_finished_caches_are_recognised_by():
    """Another key here would make every cache of a finished comparison anew."""
    assert option_keys() == ['scale', 'teachers', 'fusion']
    assert option_keys('datasets.train') == ['dataroot_gt', 'dataroot_lq', 'filename_tmpl']
