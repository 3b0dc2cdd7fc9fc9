"""Inputs in the folder of the experiment, which BasicSR moves aside when a training begins."""

from pathlib import Path

import pytest
from conftest import parsed, with_cache, write_weights

from mtkd_basicsr.checks.preflight import check_options
from mtkd_basicsr.errors import MTKDError

LIES = "' lies in the folder of the experiment of this name, which is moved aside when a training"


@pytest.fixture
def options(make_options, tmp_path):
    """Options of a training with an experiment of its name."""
    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), True, tmp_path)
    Path(opt['path']['models']).mkdir(parents=True)
    Path(opt['path']['training_states']).mkdir(parents=True)
    return opt


def refused(opt):
    with pytest.raises(MTKDError) as error:
        check_options(opt, True)
    return str(error.value)


def test_weights_in_the_experiment_itself_are_refused(options, tmp_path):
    folder = Path(options['path']['models'])
    path = write_weights(folder / 'net_g_latest.pth', options['network_g'])
    options['path']['pretrain_network_g'] = path
    assert refused(options).startswith(f"path.pretrain_network_g: '{path}{LIES}")
    link = tmp_path / 'link.pth'
    link.symlink_to(path)
    options['path']['pretrain_network_g'] = str(link)
    assert refused(options).startswith(f"path.pretrain_network_g: '{link}{LIES}")
    # Another experiment, whose name begins with this one.
    folder = folder.parent.with_name(folder.parent.name + '_2')
    folder.mkdir()
    path = write_weights(folder / 'net_g_latest.pth', options['network_g'])
    options['path']['pretrain_network_g'] = path
    check_options(options, True)


def test_data_and_caches_in_the_experiment_itself_are_refused(options, tmp_path):
    cache = Path(options['path']['experiments_root'], 'c.lmdb')
    with_cache(options, cache)
    check_options(options, True)  # it is not there yet
    block = options['datasets']['val']
    inside = Path(options['path']['experiments_root'], 'lq')
    inside.symlink_to(block['dataroot_lq'])
    block['dataroot_lq'] = str(inside)
    assert refused(options).startswith(f"datasets.val.dataroot_lq: '{inside}{LIES}")


def test_a_training_that_goes_on_leaves_its_folder_where_it_is(options):
    block = options['datasets']['val']
    inside = Path(options['path']['experiments_root'], 'lq')
    inside.symlink_to(block['dataroot_lq'])
    block['dataroot_lq'] = str(inside)
    options['auto_resume'] = True
    assert LIES in refused(options), 'there is no state yet'
    Path(options['path']['training_states'], '2.state').touch()
    check_options(options, True)
