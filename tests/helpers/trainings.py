"""Models and batches as BasicSR's own training script makes them."""

from pathlib import Path

import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from conftest import parsed


def model_of(opt, tmp_path, is_train=True):
    opt = parsed(opt, is_train, tmp_path)
    Path(opt['path']['models']).mkdir(parents=True, exist_ok=True)
    Path(opt['path']['training_states']).mkdir(parents=True, exist_ok=True)
    return build_model(opt)


def batch_of(opt, tmp_path):
    block = parsed(opt, True, tmp_path)['datasets']['train']
    torch.manual_seed(0)
    return next(iter(build_dataloader(build_dataset(block), block, num_gpu=0, seed=0)))
