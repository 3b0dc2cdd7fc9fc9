"""Options of datasets with which the images are not what networks, teachers and metrics take."""

import sys
from types import ModuleType

import pytest
import torch
from basicsr.utils.registry import DATASET_REGISTRY
from helpers.found import GONE, changed, found_in_test, found_in_training

HALF = [0.5, 0.5, 0.5]
UNIT = 'students, teachers and metrics take images in [0, 1]'
RGB = "'y', which makes images of one channel; EDSR takes RGB images; remove it"
TEMPLATE = "expected a string with {} in the place of the ground truth's name"
VIDEO = 'it is for videos; expected DistillImageDataset or PairedImageDataset'

ERRORS = [
    ('mean', {'mean': HALF, 'std': HALF}, f'mean: [0.5, 0.5, 0.5]; expected nothing (~): {UNIT}'),
    ('mean', {'mean': HALF}, f'mean: [0.5, 0.5, 0.5]; expected nothing (~): {UNIT}'),
    ('std', {'mean': [0, 0, 0], 'std': [1, 1, 0.5]}, f'expected nothing (~): {UNIT}'),
    ('mean', {'mean': 'imagenet'}, "mean: 'imagenet'; expected nothing (~)"),
    ('std', {'std': [1, 1, 1]}, 'std: BasicSR needs mean and std, or none of them'),
    ('color', {'color': 'y'}, RGB),
    ('color', {'color': 'Y'}, "'Y'; expected nothing (~) for RGB, or 'y'"),
    ('color', {'color': 'gray'}, "'gray'; expected nothing (~) for RGB, or 'y'"),
    ('filename_tmpl', {'filename_tmpl': 'x2'}, f"'x2'; {TEMPLATE}"),
    ('filename_tmpl', {'filename_tmpl': None}, f'None; {TEMPLATE}'),
    ('filename_tmpl', {'filename_tmpl': '{name}'}, f"'{{name}}'; {TEMPLATE}"),
    ('filename_tmpl', {'filename_tmpl': '{'}, f"'{{'; {TEMPLATE}"),
    ('io_backend', {'io_backend': 'disk'}, "'disk'; expected a mapping, such as {type: disk}"),
    ('io_backend', {'io_backend': {}}, '{}; expected a mapping, such as {type: disk}'),
    ('io_backend.type', {'io_backend': {'type': 'petrel'}}, "'petrel'; known: disk, lmdb"),
    (
        'io_backend',
        {'io_backend': {'type': 'disk', 'readahead': True}},
        'type disk has no other keys; remove readahead',
    ),
    ('io_backend.type', {'io_backend': {'type': 'memcached'}}, 'its module mc is not installed'),
    ('pin_memory', {'pin_memory': 'yes'}, "'yes'; expected true or false"),
    ('persistent_workers', {'persistent_workers': True}, 'True, but '),
    ('persistent_workers', {'persistent_workers': 'yes'}, "'yes'; expected true or false"),
    ('type', {'type': 'FFHQDataset'}, "'FFHQDataset'; it has no low-resolution images"),
    ('type', {'type': 'RealESRGANDataset_basicsr'}, 'but kernels to make some; expected'),
    ('type', {'type': 'REDSDataset'}, f"'REDSDataset'; {VIDEO}"),
    ('type', {'type': 'Vimeo90KDataset'}, f"'Vimeo90KDataset'; {VIDEO}"),
    ('type', {'type': 'VideoTestDataset'}, f"'VideoTestDataset'; {VIDEO}"),
    ('meta_info_file', {'meta_info_file': 3}, '3; expected the path of a file'),
]


def _with(make_options, phase, block, model='KDModel', **changes):
    kind = {'train__kd': {'type': 'Scratch'}} if model == 'KDModel' else {}
    opt = make_options(model, **kind, **changes)
    opt['datasets'][phase].update(block)
    return opt


@pytest.mark.parametrize('phase', ['train', 'val'])
@pytest.mark.parametrize(('key', 'block', 'text'), ERRORS, ids=lambda value: str(value)[:40])
def test_an_option_that_spoils_the_images_is_an_error(key, block, text, phase, make_options):
    errors, _ = found_in_training(_with(make_options, phase, block))
    named = [e for e in errors if e.startswith(f'datasets.{phase}.{key}: ')]
    assert any(text in error for error in named), errors


@pytest.mark.parametrize('model', ['MTKDModel', 'MTKDFusionModel'])
@pytest.mark.parametrize(
    ('block', 'text'),
    [
        ({'mean': HALF, 'std': HALF}, UNIT),
        ({'color': 'y'}, 'teachers take RGB images'),
    ],
)
def test_teachers_get_the_images_that_they_were_trained_with(model, block, text, make_options):
    errors, _ = found_in_training(_with(make_options, 'train', block, model))
    assert len(errors) == 1
    assert text in errors[0]


@pytest.mark.parametrize('key', ['mean', 'color', 'io_backend', 'type'])
def test_a_test_is_checked_as_a_training(key, make_options):
    values = {'mean': HALF, 'color': 'y', 'io_backend': 'disk', 'type': 'FFHQDataset'}
    opt = _with(make_options, 'val', {key: values[key]})
    opt['datasets'] = {'test_1': opt['datasets']['val']}
    errors, _ = found_in_test(opt)
    assert [error for error in errors if error.startswith(f'datasets.test_1.{key}: ')]


@pytest.mark.parametrize(
    'block',
    [
        {'mean': [0, 0, 0], 'std': [1, 1, 1]},
        {'mean': None, 'std': None},
        {'color': 'rgb'},
        {'color': None},
        {'filename_tmpl': '{}x2'},
        {'pin_memory': True},
    ],
    ids=str,
)
def test_what_changes_nothing_is_left_alone(block, make_options):
    assert found_in_training(_with(make_options, 'train', block)) == ([], [])


def test_a_student_of_one_channel_may_have_luminance(make_options):
    opt = _with(make_options, 'train', {'color': 'y'})
    opt['network_g'] = {'type': 'SwinIR', 'in_chans': 1, 'upscale': 2}
    assert found_in_training(opt) == ([], [])


def test_images_without_ground_truth_are_not_trained_on(make_options):
    opt = _with(make_options, 'train', {'type': 'SingleImageDataset'})
    errors, _ = found_in_training(opt)
    assert errors == [
        "datasets.train.type: 'SingleImageDataset'; it has no ground truths; expected "
        'DistillImageDataset or PairedImageDataset'
    ]


class OwnPairs(torch.utils.data.Dataset):
    """A dataset of somebody, who augments in it."""


def test_a_class_of_ones_own_needs_no_keys_of_augmentation(make_options, monkeypatch):
    known = {**DATASET_REGISTRY._obj_map, 'OwnPairs': OwnPairs}
    monkeypatch.setattr(DATASET_REGISTRY, '_obj_map', known)
    opt = _with(make_options, 'train', {'type': 'OwnPairs'})
    for key in ('use_hflip', 'use_rot'):
        del opt['datasets']['train'][key]
    assert found_in_training(opt) == ([], [])


def test_memcached_needs_to_know_its_server(make_options, monkeypatch):
    module = ModuleType('mc')
    module.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, 'mc', module)
    block = {'io_backend': {'type': 'memcached', 'client_cfg': 'x'}}
    errors, _ = found_in_training(_with(make_options, 'train', block))
    assert errors == ['datasets.train.io_backend: memcached needs server_list_cfg and client_cfg']


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        (b'moon.png (96,120,3)\n\nbrick.png\n', 'line 2 is empty; expected a name in each'),
        (b'', 'is empty; expected a name in each line'),
        (
            b'moon.png (96,120,3)\nmy moon.png (96,120,3)\n',
            "line 2: 'my moon.png (96,120,3)', of which BasicSR takes what is before the first",
        ),
        ('größe.png\n'.encode('latin-1'), "is not a text in UTF-8: 'utf-8' codec can't decode"),
        ('moon.png\n'.encode('utf-16'), "is not a text in UTF-8: 'utf-8' codec can't decode"),
    ],
)
def test_a_list_of_names_has_a_name_in_each_line(content, text, make_options, tmp_path):
    names = tmp_path / 'names.txt'
    names.write_bytes(content)
    errors, _ = found_in_training(_with(make_options, 'train', {'meta_info_file': str(names)}))
    assert len(errors) == 1
    assert errors[0].startswith(f"datasets.train.meta_info_file: '{names}'")
    assert text in errors[0]


@pytest.mark.parametrize(
    ('line', 'is_named'),
    [
        ('my moon.png', True),
        ('my moon.png (48,40,3)', True),
        ('moon.png 48 40', False),  # an image that is missing, as others say
        ('moon.png', False),
    ],
)
def test_a_name_with_blanks_is_named_where_there_is_such_a_file(
    line, is_named, make_options, tmp_path
):
    root = tmp_path / 'gt'
    root.mkdir()
    (root / 'my moon.png').write_bytes(b'')
    (tmp_path / 'names.txt').write_text(f'{line}\n')
    block = {'meta_info_file': str(tmp_path / 'names.txt'), 'dataroot_gt': str(root)}
    errors, _ = found_in_training(_with(make_options, 'train', block))
    assert any('expected names without blanks' in error for error in errors) == is_named


def test_a_list_of_names_is_not_read_with_an_lmdb(make_options, tmp_path):
    (tmp_path / 'names.txt').write_text('moon.png\n')
    block = {'meta_info_file': str(tmp_path / 'names.txt'), 'io_backend': {'type': 'lmdb'}}
    _, warnings = found_in_training(_with(make_options, 'train', block))
    assert warnings == [
        'datasets.train.meta_info_file: BasicSR does not read it with an LMDB: all its images are '
        'used'
    ]


def test_validations_have_no_workers(make_options):
    opt = _with(make_options, 'val', {'persistent_workers': True})
    opt = changed(opt, {'datasets__train__persistent_workers': False})
    errors, _ = found_in_training(opt)
    assert errors == [
        'datasets.val.persistent_workers: True, but BasicSR validates without workers; remove it'
    ]


def test_a_missing_backend_is_named(make_options):
    opt = changed(_with(make_options, 'train', {}), {'datasets__train__io_backend': GONE})
    errors, _ = found_in_training(opt)
    assert errors == ['datasets.train.io_backend: None; expected a mapping, such as {type: disk}']


@pytest.mark.parametrize(
    ('block', 'text'),
    [
        ({'prefetch_mode': 'cuda'}, "prefetch_mode: 'cuda'; BasicSR has only ~ and cpu"),
        ({'prefetch_mode': 'cpu', 'num_prefetch_queue': 0}, 'num_prefetch_queue: 0; expected a'),
    ],
)
def test_a_stock_test_script_finds_wrong_loaders(block, text, make_options):
    """As ``mtkd test`` does: both ask the same checks."""
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    opt['datasets'] = {'test': {**opt['datasets']['val'], **block}}
    errors, _ = found_in_test(opt)
    assert [error for error in errors if error.startswith(f'datasets.test.{text}')]
