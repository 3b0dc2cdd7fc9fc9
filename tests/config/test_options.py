import pytest

from mtkd_basicsr.config import check_near_misses, parse_fusion, parse_teachers, parse_val, require
from mtkd_basicsr.errors import OptionError, did_you_mean

TEACHER = {'network': {'type': 'EDSR'}, 'weights': 'edsr.pth'}


def test_order_of_teachers_is_kept():
    teachers = parse_teachers({'teachers': {'b': TEACHER, 'a': {**TEACHER, 'strict': False}}})
    assert list(teachers) == ['b', 'a']
    assert teachers['b'].strict
    assert not teachers['a'].strict
    with pytest.raises(AttributeError):
        teachers['b'].weights = 'other.pth'


@pytest.mark.parametrize(
    ('teachers', 'text'),
    [
        (None, 'teachers: None; expected a mapping'),
        ({}, 'teachers: {}; expected a mapping'),
        ([TEACHER], r'teachers: \[.*\]; expected a mapping'),
        (
            {'edsr': 'edsr.pth'},
            "teachers.edsr: 'edsr.pth'; expected a mapping with the keys weights, network",
        ),
        ({'edsr': {'network': {'type': 'EDSR'}}}, "teachers.edsr: key 'weights' is missing"),
        (
            {'edsr': {**TEACHER, 'weigths': 1}},
            "teachers.edsr: unknown key 'weigths'.*did you mean 'weights'",
        ),
        (
            {'edsr': {**TEACHER, 'strict': 'yes'}},
            "teachers.edsr.strict: 'yes'; expected true or false",
        ),
        (
            {'edsr': {**TEACHER, 'network': 'EDSR'}},
            "teachers.edsr.network: 'EDSR'; expected a mapping",
        ),
        ({'edsr': {**TEACHER, 'weights': None}}, 'teachers.edsr.weights: None; expected a string'),
        ({1: TEACHER}, 'teachers: the name 1 is not a string'),
    ],
)
def test_wrong_teachers_are_refused(teachers, text):
    with pytest.raises(OptionError, match=text):
        parse_teachers({'teachers': teachers})


def test_fusion_may_be_left_out():
    assert parse_fusion({}) is None
    assert parse_fusion({'fusion': TEACHER}).weights == 'edsr.pth'


@pytest.mark.parametrize(
    ('val', 'text'),
    [
        ({'tile': 0}, 'val.tile: 0; expected'),
        ({'tile': '128'}, "val.tile: '128'; expected a whole number"),
        ({'tile': True}, 'val.tile: True; expected a whole number'),
        (
            {'tile': 16, 'tile_overlap': 16},
            'val.tile_overlap: 16; expected .* less than val.tile, 16',
        ),
        ({'tile_overlap': -1}, 'val.tile_overlap: -1'),
    ],
)
def test_wrong_tiles_are_refused(val, text):
    with pytest.raises(OptionError, match=text):
        parse_val({'val': val})


def test_tiles_are_read():
    assert parse_val({}).tile is None
    assert parse_val({'val': {'tile': 128, 'val_freq': 5}}).tile == 128


@pytest.mark.parametrize(
    ('opt', 'text'),
    [
        ({'teacher': {}}, "teacher: unknown key 'teacher' .did you mean 'teachers'"),
        (
            {'train': {'distil_opt': {}}},
            "train.distil_opt: unknown key 'distil_opt' .did you mean 'distill_opt'",
        ),
        ({'val': {'tile_overlp': 3}}, 'val.tile_overlp.*tile_overlap'),
        (
            {'datasets': {'train': {'target_cach': 'x.lmdb'}}},
            "datasets.train.target_cach: unknown key.*did you mean 'target_cache'",
        ),
    ],
)
def test_near_misses_in_the_blocks_of_basicsr_are_refused(opt, text):
    with pytest.raises(OptionError, match=text):
        check_near_misses(opt)


def test_keys_of_others_are_left_alone():
    """None of these raises."""
    check_near_misses(
        {
            'name': 'x',
            'train': {'ema_decay': 0, 'pixel_opt': {}, 'my_own': 1},
            'val': None,
            'my_block': {},
        }
    )
    check_near_misses(
        {
            'datasets': {
                'train': {'dataroot_gt': 'x', 'target_cache': None},
                'val': {'target_cach': 1},
            }
        }
    )


def test_require_names_the_key_that_is_missing():
    assert require({'train': {'kd': 3}}, 'train', 'kd') == 3
    with pytest.raises(OptionError, match='train.kd: missing'):
        require({'train': {}}, 'train', 'kd')


def test_did_you_mean_suggests_the_nearest_name():
    assert did_you_mean('fadk', ['AT', 'FAKD']) == "known: AT, FAKD (did you mean 'FAKD'?)"
    assert did_you_mean('xyz', ['AT']) == 'known: AT'
