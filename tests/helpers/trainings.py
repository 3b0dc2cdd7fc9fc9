"""Models and batches as BasicSR's own training script makes them."""

from pathlib import Path

import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from conftest import parsed, write_options


def model_of(opt, tmp_path, is_train=True):
    opt = parsed(opt, is_train, tmp_path)
    Path(opt['path']['models']).mkdir(parents=True, exist_ok=True)
    Path(opt['path']['training_states']).mkdir(parents=True, exist_ok=True)
    return build_model(opt)


def batch_of(opt, tmp_path):
    block = parsed(opt, True, tmp_path)['datasets']['train']
    torch.manual_seed(0)
    return next(iter(build_dataloader(build_dataset(block), block, num_gpu=0, seed=0)))


def train(here, folder, opt, *arguments):
    """Train with the command; gives the folder of the experiment."""
    here('train', '-opt', write_options(folder / f'{opt["name"]}.yml', opt), *arguments)
    return folder / 'experiments' / opt['name']


def assert_equal(a, b, path=''):
    """Everything in two files, bit by bit."""
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_equal(a[key], b[key], f'{path}/{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_equal(x, y, f'{path}/{i}')
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, path
