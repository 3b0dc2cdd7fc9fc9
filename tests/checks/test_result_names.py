"""Names of the images that ``val.save_img`` writes: each has a result of its own."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from mtkd_basicsr.checks.findings import ERROR, Findings
from mtkd_basicsr.checks.result_names import check_saved_images
from mtkd_basicsr.distillers import training_config

SAME = (
    'val.save_img: true, but results of datasets.val would replace each other, because names '
    'differ only in folder or ending: '
)


def errors_in(opt):
    findings = Findings()
    check_saved_images(training_config(opt, errors=findings), findings)
    return [finding.text for finding in findings]


@pytest.fixture
def own_images(photographs, tmp_path):
    """Options whose validation images are copies of one's own."""

    def change(opt):
        block = opt['datasets']['val']
        for key in ('dataroot_gt', 'dataroot_lq'):
            folder = tmp_path / key
            shutil.copytree(block[key], folder)
            block[key] = str(folder)
        return opt

    return change


def _files(opt, old, new):
    """Copy both files of a pair to another name, of bytes."""
    block = opt['datasets']['val']
    for key in ('dataroot_gt', 'dataroot_lq'):
        folder = os.fsencode(block[key]) + b'/'
        shutil.copy(folder + old, folder + new)


@pytest.mark.parametrize('save_img', [True, False])
@pytest.mark.parametrize('is_train', [True, False])
def test_two_images_with_one_result_are_named(make_options, own_images, save_img, is_train):
    opt = own_images(make_options('KDModel', train__kd={'type': 'Scratch'}, is_train=is_train))
    opt['val']['save_img'] = save_img
    assert errors_in(opt) == []
    _files(opt, b'coffee.png', b'coffee.bmp')
    findings = Findings()
    check_saved_images(training_config(opt, errors=findings), findings)
    # A training only shows them, and goes on.
    assert [finding.level for finding in findings] == ['WARNING' if is_train else ERROR] * save_img
    for error in (finding.text for finding in findings):
        assert error.startswith(SAME)
        assert 'coffee.bmp' in error
        assert 'coffee.png' in error
        assert error.endswith('; rename the images, or use false')


@pytest.mark.parametrize('is_train', [True, False])
def test_two_sets_with_the_same_names_are_found_in_a_training(make_options, is_train):
    """It saves the images of all sets in one folder; a test has one for each."""
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, is_train=is_train)
    opt['val']['save_img'] = True
    opt['datasets']['val_2'] = {**opt['datasets']['val'], 'name': 'other'}
    errors = errors_in(opt)
    assert len(errors) == is_train
    for error in errors:
        assert 'results of datasets.val_2 would replace those of datasets.val, because' in error
        assert 'coffee' in error


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere all names are Unicode')
@pytest.mark.parametrize('save_img', [True, False])
def test_a_name_that_opencv_cannot_write_is_refused(make_options, own_images, save_img):
    """It ended the process at the first validation."""
    opt = own_images(make_options('KDModel', train__kd={'type': 'Scratch'}))
    opt['val']['save_img'] = save_img
    _files(opt, b'coffee.png', b'caf\xe9.png')
    errors = errors_in(opt)
    assert bool(errors) == save_img
    for error in errors:
        assert 'val.save_img: true, but 1 names of datasets.val are not in UTF-8' in error
        assert r'caf\udce9.png' in error


def test_a_test_without_ground_truths_is_checked_too(make_options, own_images):
    opt = own_images(make_options('KDModel', train__kd={'type': 'Scratch'}))
    block = opt['datasets'].pop('val')
    block.pop('dataroot_gt')
    opt['datasets'] = {'test': {**block, 'type': 'SingleImageDataset'}}
    opt['val'] = {'save_img': True, 'suffix': None}
    assert errors_in(opt) == []
    folder = Path(block['dataroot_lq'])
    shutil.copy(folder / 'coffee.png', folder / 'coffee.jpg')
    errors = errors_in(opt)
    assert any('results of datasets.test would replace each other' in error for error in errors)


def test_a_list_of_names_that_is_not_there_is_named(make_options, own_images):
    opt = own_images(make_options('KDModel', train__kd={'type': 'Scratch'}))
    block = opt['datasets'].pop('val')
    block.pop('dataroot_gt')
    block.update(type='SingleImageDataset', meta_info_file='gone.txt')
    opt['datasets'] = {'test': block}
    opt['val'] = {'save_img': True, 'suffix': None}
    errors = errors_in(opt)
    assert any(
        error.startswith('datasets.test: BasicSR cannot list its images: FileNotFoundError')
        for error in errors
    )
