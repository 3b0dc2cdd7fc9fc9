"""What BasicSR's loop would do silently: train nothing, or with another seed."""

import basicsr.train
import pytest
import torch
from basicsr.utils import get_root_logger
from conftest import parsed, write_options
from helpers.trainings import assert_equal

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.training_loop import with_enough_epochs


@pytest.mark.parametrize(
    ('processes', 'batch', 'text'),
    [
        (1, 4, r'enlarge_ratio: 1; 3 images make no whole batch of 4, and .*; use 2 or more'),
        (2, 3, r'3 images, shared by 2 processes, make no whole batch of 3, .*; use 2 or more'),
    ],
)
def test_an_epoch_without_a_batch_is_refused(make_options, tmp_path, processes, batch, text):
    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    opt['datasets']['train'].update(dataset_enlarge_ratio=1, batch_size_per_gpu=batch)
    opt.update(dist=processes > 1, world_size=processes)
    create = with_enough_epochs(basicsr.train.create_train_val_dataloader)
    with pytest.raises(OptionError, match=text):
        create(opt, get_root_logger())
    opt['train']['total_iter'] = 0  # a mix is fitted, to whole images
    assert len(create(opt, get_root_logger())[0]) == 0
    opt['train']['total_iter'] = 2
    opt['datasets']['train']['dataset_enlarge_ratio'] = 2
    loader, *_ = create(opt, get_root_logger())
    assert len(loader) == 1


def weights_after(here, folder, opt, *arguments):
    folder.mkdir()
    path = write_options(folder / 'train.yml', opt)
    here('train', '-opt', path, *arguments, cwd=folder)
    networks = folder / 'experiments' / opt['name'] / 'models'
    return torch.load(networks / 'net_g_latest.pth', weights_only=True)['params']


def test_a_seed_of_the_command_line_is_that_of_the_training(make_options, tmp_path, here):
    """BasicSR seeds before it reads the command line's."""
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, train__total_iter=1)
    opt['datasets'].pop('val')
    in_file = weights_after(here, tmp_path / 'a', {**opt, 'manual_seed': 3})
    command = '--force_yml', 'manual_seed=3'
    assert_equal(weights_after(here, tmp_path / 'b', opt, *command), in_file)
    without = weights_after(here, tmp_path / 'c', opt)
    assert any(not torch.equal(without[name], tensor) for name, tensor in in_file.items())
