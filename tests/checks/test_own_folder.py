"""Inputs in the folder that BasicSR moves aside when a training or a test begins."""

from pathlib import Path

import pytest
import torch
from conftest import parsed, with_cache, write_options, write_weights

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


def refused(opt, is_train=True):
    with pytest.raises(MTKDError) as error:
        check_options(opt, is_train)
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


def test_a_training_that_goes_on_with_another_experiment_moves_the_folder_of_its_name(options):
    experiment = Path(options['path']['experiments_root'])
    inside = experiment / 'lq'
    inside.symlink_to(options['datasets']['val']['dataroot_lq'])
    options['datasets']['val']['dataroot_lq'] = str(inside)
    other = experiment.with_name('other')
    for folder in (other, experiment):
        (folder / 'models').mkdir(parents=True, exist_ok=True)
        (folder / 'training_states').mkdir(exist_ok=True)
        state = folder / 'training_states' / '2.state'
        torch.save({'epoch': 0, 'iter': 2, 'optimizers': [], 'schedulers': []}, state)
    options['path']['resume_state'] = str(other / 'training_states' / '2.state')
    write_weights(other / 'models' / 'net_g_2.pth', options['network_g'])
    assert refused(options).startswith(f"datasets.val.dataroot_lq: '{inside}{LIES}")
    # With its own state it stays, and with networks that lie in it.
    options['path']['resume_state'] = str(experiment / 'training_states' / '2.state')
    write_weights(experiment / 'models' / 'net_g_2.pth', options['network_g'])
    check_options(options, True)
    options['path']['resume_state'] = str(other / 'training_states' / '2.state')
    (other / 'models' / 'net_g_2.pth').unlink()
    check_options(options, True)


def test_inputs_of_a_test_in_its_own_results_are_refused(make_options, tmp_path):
    opt = parsed(make_options('KDModel', train__kd={'type': 'Scratch'}), False, tmp_path)
    results = Path(opt['path']['results_root'])
    results.mkdir(parents=True)
    weights = write_weights(tmp_path / 'net_g.pth', opt['network_g'])
    opt['path']['pretrain_network_g'] = weights
    check_options(opt, False)
    lies = (
        "' lies in the folder of the results of this name, which is moved aside when a test begins"
    )
    opt['path']['pretrain_network_g'] = write_weights(results / 'net_g.pth', opt['network_g'])
    inside = str(results / 'net_g.pth')
    assert refused(opt, False).startswith(f"path.pretrain_network_g: '{inside}{lies}")
    opt['path']['pretrain_network_g'] = weights
    block = opt['datasets']['val']
    (results / 'lq').symlink_to(block['dataroot_lq'])
    block['dataroot_lq'] = str(results / 'lq')
    assert refused(opt, False).startswith(f"datasets.val.dataroot_lq: '{results / 'lq'}{lies}")


@pytest.mark.parametrize('model', ['KDModel', 'SRModel'])
def test_the_command_refuses_weights_in_its_own_results(make_options, tmp_path, here, model):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    results = tmp_path / 'results' / opt['name']
    results.mkdir(parents=True)
    weights = write_weights(results / 'net_g.pth', opt['network_g'])
    block = {**opt['datasets']['val'], 'phase': 'test'}
    test = {
        **{key: opt[key] for key in ('name', 'scale', 'num_gpu', 'network_g', 'val')},
        'model_type': model,
        'datasets': {'test': block},
        'path': {'pretrain_network_g': weights},
    }
    printed = here('test', '-opt', write_options(tmp_path / 'test.yml', test), expect=1)
    assert f"path.pretrain_network_g: '{weights}' lies in the folder of the results" in printed
    assert [path.name for path in results.parent.iterdir()] == [results.name]
