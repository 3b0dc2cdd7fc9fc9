"""An LMDB in several data sets of one training, and in several processes."""

import copy
import os
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils import FileClient
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from conftest import mtkd, parsed, stock, write_options

from mtkd_basicsr.checks.findings import ERROR, Findings
from mtkd_basicsr.checks.images import check_images
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.host.shared_lmdb import open_environment
from mtkd_basicsr.utils.images import decode


@pytest.fixture
def lmdbs(photographs, tmp_path):
    """``gt.lmdb`` and ``lq.lmdb`` of the training images."""
    for kind, folder in (('gt', 'GT'), ('lq', 'LRx2')):
        root = photographs / 'train' / folder
        names = sorted(path.name for path in root.iterdir())
        keys = [name.removesuffix('.png') for name in names]
        make_lmdb_from_imgs(str(root), str(tmp_path / f'{kind}.lmdb'), names, keys)
    return tmp_path


def in_lmdb(block, folder):
    block.update(
        dataroot_gt=str(folder / 'gt.lmdb'),
        dataroot_lq=str(folder / 'lq.lmdb'),
        io_backend={'type': 'lmdb'},
    )


def same_for_validation(opt, folder):
    in_lmdb(opt['datasets']['train'], folder)
    in_lmdb(opt['datasets']['val'], folder)


def two_validations(opt, folder):
    in_lmdb(opt['datasets']['val'], folder)
    opt['datasets']['val_2'] = copy.deepcopy(opt['datasets']['val'])
    opt['datasets']['val_2']['name'] = 'again'


def the_same_low_resolution(opt, folder):
    same_for_validation(opt, folder)
    (folder / 'other.lmdb').mkdir()
    for name in ('data.mdb', 'meta_info.txt'):
        (folder / 'other.lmdb' / name).write_bytes((folder / 'gt.lmdb' / name).read_bytes())
    opt['datasets']['val']['dataroot_gt'] = str(folder / 'other.lmdb')


def another_name_of_it(opt, folder):
    same_for_validation(opt, folder)
    (folder / 'link.lmdb').symlink_to(folder / 'gt.lmdb')
    opt['datasets']['val']['dataroot_gt'] = str(folder / 'link.lmdb')


def with_distill_dataset(opt, folder):
    same_for_validation(opt, folder)
    opt['datasets']['train'].update(type='DistillImageDataset', target_cache=None)


@pytest.mark.parametrize(
    'change',
    [
        same_for_validation,
        two_validations,
        the_same_low_resolution,
        another_name_of_it,
        with_distill_dataset,
    ],
)
@pytest.mark.parametrize('workers', [0, 1])
def test_two_data_sets_read_one_lmdb(make_options, lmdbs, change, workers):
    opt = make_options('MTKDModel', datasets__train__num_worker_per_gpu=workers)
    change(opt, lmdbs)
    opt = parsed(opt)
    found = []
    for block in opt['datasets'].values():
        dataset = build_dataset(block)
        loader = build_dataloader(dataset, block, num_gpu=0, seed=0)
        found.append((dataset, [len(batch['lq']) for batch in loader]))
    assert all(sizes for _, sizes in found)


def test_values_are_those_of_basicsr(lmdbs, photographs):
    options = {'db_paths': [str(lmdbs / 'gt.lmdb')] * 2, 'client_keys': ['gt', 'lq']}
    client = FileClient('lmdb', **options)
    value = client.get('moon', 'gt')
    assert client.get('moon', 'lq') == value
    expected = cv2.imread(str(photographs / 'train' / 'GT' / 'moon.png'))
    assert np.array_equal(decode(value), expected)
    with pytest.raises(ValueError, match='1 LMDBs with 2 names'):
        FileClient('lmdb', db_paths=str(lmdbs / 'gt.lmdb'), client_keys=['gt', 'lq'])


def test_a_forked_process_opens_its_own(lmdbs):
    path = str(lmdbs / 'gt.lmdb')
    environment = open_environment(path, readonly=True, lock=False)
    assert open_environment(path, readonly=True, lock=False) is environment
    child = os.fork()
    if child == 0:
        other = open_environment(path, readonly=True, lock=False)
        with other.begin() as txn:
            os._exit(0 if txn.get(b'moon') and other is not environment else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with environment.begin() as txn:
        assert txn.get(b'moon')


def test_an_lmdb_that_was_replaced_is_opened_anew(lmdbs):
    path = lmdbs / 'gt.lmdb'
    old = open_environment(str(path), readonly=True, lock=False)
    path.rename(lmdbs / 'old.lmdb')
    (lmdbs / 'lq.lmdb').rename(path)
    assert open_environment(str(path), readonly=True, lock=False) is not old


@pytest.mark.slow
@pytest.mark.parametrize('script', ['mtkd', 'train.py'])
def test_a_training_validates_on_its_own_images(make_options, lmdbs, basicsr_tree, script):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, val__val_freq=1)
    opt['datasets']['train']['num_worker_per_gpu'] = 1
    same_for_validation(opt, lmdbs)
    path = write_options(lmdbs / 'options.yml', opt)
    if script == 'mtkd':
        printed = mtkd('train', '-opt', path, cwd=lmdbs)
    else:
        printed = stock(basicsr_tree, script, '-opt', path)
    assert printed.count('# psnr') >= 2
    assert 'Save the latest model.' in printed


def test_batches_are_the_same_as_from_files(make_options, lmdbs):
    from_files = parsed(make_options('MTKDModel'))['datasets']['train']
    opt = make_options('MTKDModel')
    in_lmdb(opt['datasets']['train'], lmdbs)
    from_lmdb = parsed(opt)['datasets']['train']
    items = []
    for block in (from_files, from_lmdb):
        dataset = build_dataset(block)
        dataset.paths.sort(key=lambda pair: pair['gt_path'])
        torch.manual_seed(0)
        random.seed(0)
        items.append(dataset[1])
    assert torch.equal(items[0]['lq'], items[1]['lq'])
    assert torch.equal(items[0]['gt'], items[1]['gt'])


@pytest.mark.parametrize('key', ['dataroot_gt', 'dataroot_lq'])
@pytest.mark.parametrize(
    ('damage', 'text'),
    [
        ('half', 'was cut off: its file ends after '),
        ('empty', 'cannot be read as an LMDB: '),
        ('missing', 'cannot be read as an LMDB: '),
    ],
)
def test_a_damaged_lmdb_is_named_before_it_is_read(make_options, lmdbs, key, damage, text):
    """Reading past the end of its file ends the process, with "Bus error"."""
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    in_lmdb(opt['datasets']['train'], lmdbs)
    file = Path(opt['datasets']['train'][key], 'data.mdb')
    content = file.read_bytes()
    file.unlink()
    if damage != 'missing':
        file.write_bytes(content[: len(content) // 2 if damage == 'half' else 0])
    findings = Findings()
    check_images(training_config(parsed(opt), errors=findings), findings)
    errors = [finding.text for finding in findings if finding.level == ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(f"datasets.train.{key}: '{file.parent}' {text}")
