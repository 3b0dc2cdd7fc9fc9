"""Keys that nothing reads: misspelled, or of other projects."""

import pytest
import yaml
from conftest import ROOT
from helpers.found import changed, found_in_test, found_in_training

from mtkd_basicsr.config import FOREIGN_KEYS, plugin_keys
from mtkd_basicsr.host.option_schema import READ_KEYS, TRAIN_KEYS

MEANT = "unknown key '{}' (did you mean '{}'?)"

ERRORS = [
    # of Restormer and NAFNet
    ('train__use_grad_clip', True, 'use train.grad_clip: NORM, the largest norm of the gradient'),
    ('train__mixing_augs', {'mixup': True}, 'images are not mixed; train.kd with type DUKD'),
    ('datasets__train__geometric_augs', True, 'use use_hflip and use_rot'),
    ('datasets__train__use_flip', True, 'use use_hflip and use_rot'),
    ('datasets__train__mini_batch_sizes', [8, 4], 'patches and batches have one size, gt_size'),
    ('datasets__train__gt_sizes', [64, 128], 'patches and batches have one size, gt_size'),
    ('datasets__train__iters', [1, 2], 'patches and batches have one size, gt_size'),
    # of Real-ESRGAN
    ('network_d', {'type': 'UNetDiscriminatorSN'}, 'KDModel has no such network; remove it'),
    ('path__pretrain_network_d', 'd.pth', 'there is no discriminator here'),
    ('train__gan_opt', {'type': 'GANLoss'}, 'there is no discriminator here'),
    ('train__optim_d', {'type': 'Adam'}, 'there is no discriminator here'),
    ('train__net_d_iters', 1, 'there is no discriminator here'),
    ('train__ldl_opt', {'type': 'L1Loss'}, 'the losses here are train.pixel_opt'),
    ('high_order_degradation', True, 'images are not degraded while training'),
    ('l1_gt_usm', True, 'images are not degraded while training'),
    ('datasets__train__meta_info', 'names.txt', 'use meta_info_file'),
    # of HAT and traiNNer
    ('tile', {'tile_size': 256}, 'use val.tile: N, and val.tile_overlap'),
    ('use_amp', True, 'use train.amp: bf16, or auto'),
    ('amp_bf16', True, 'use train.amp: bf16, or auto'),
    ('datasets__train__accum_iter', 2, 'there is no accumulation of gradients'),
    ('train__accum_iter', 2, 'there is no accumulation of gradients'),
    ('datasets__train__lq_size', 32, 'use gt_size, which is scale times as large'),
    ('train__losses', [], 'the losses here are train.pixel_opt'),
    ('train__use_ema', True, 'use train.ema_decay: 0.999'),
    ('train__warmup_iters', 5, "(did you mean 'warmup_iter'?)"),
    ('train__fp16', True, 'use train.amp: bf16, or auto'),
    ('path__strict_load', False, 'use path.strict_load_g'),
    ('path__pretrain_model_g', 'x.pth', 'use path.pretrain_network_g'),
    ('path__resume', 'x.state', 'use path.resume_state, or mtkd train --auto_resume'),
    # misspelled
    ('manual_sed', 3, MEANT.format('manual_sed', 'manual_seed')),
    ('network_G', {'type': 'EDSR'}, MEANT.format('network_G', 'network_g')),
    ('find_unused_parameter', True, "(did you mean 'find_unused_parameters'?)"),
    ('path__pretrain_network_G', 'x.pth', "(did you mean 'pretrain_network_g'?)"),
    ('path__resume_states', 'x.state', "(did you mean 'resume_state'?)"),
    ('path__param_key_G', 'params', "(did you mean 'param_key_g'?)"),
    ('path__pretrain_weights', 'x.pth', "unknown key 'pretrain_weights'; known: "),
    ('datasets__train__use_hfilp', True, MEANT.format('use_hfilp', 'use_hflip')),
    ('datasets__train__dataset_enlarge_ration', 9, "(did you mean 'dataset_enlarge_ratio'?)"),
    ('datasets__val__dataroot_gtt', 'x', MEANT.format('dataroot_gtt', 'dataroot_gt')),
    ('val__val_frq', 3, MEANT.format('val_frq', 'val_freq')),
    ('val__metric', {}, MEANT.format('metric', 'metrics')),
    ('val__save_image', True, MEANT.format('save_image', 'save_img')),
    ('logger__print_frequency', 3, MEANT.format('print_frequency', 'print_freq')),
    ('logger__use_tb_loger', True, MEANT.format('use_tb_loger', 'use_tb_logger')),
    ('logger__wandb', {'projct': 'x'}, MEANT.format('projct', 'project')),
    # of another section
    ('kd', {'type': 'AT'}, 'unknown key; it belongs to another section: train.kd'),
    ('init', 'he', 'unknown key; it belongs to another section: train.init'),
    ('ema_decay', 0.5, 'unknown key; it belongs to another section: train.ema_decay'),
    ('pretrain_network_g', 'x.pth', 'it belongs to another section: path.pretrain_network_g'),
    ('path__target_cache', 'x', 'it belongs to another section: datasets.train.target_cache'),
    ('logger__val_freq', 5, 'unknown key; it belongs to another section: val.val_freq'),
    ('val__save_checkpoint_freq', 5, 'it belongs to another section: logger.save_checkpoint_freq'),
    ('datasets__train__teachers', {}, 'unknown key; it belongs to another section: teachers'),
    ('dist_params__prt', 3, MEANT.format('prt', 'port')),
]

WARNINGS = [
    ('val__grids', True, 'nothing reads this key; use val.tile: N, and val.tile_overlap'),
    ('val__max_minibatch', 8, 'nothing reads this key; use val.tile: N, and val.tile_overlap'),
    ('val__window_size', 8, 'nothing reads this key; remove it'),
    ('logger__wandb_project', 'x', 'nothing reads this key; use logger.wandb.project'),
    ('logger__log_file', 'x.log', 'nothing reads this key; remove it'),
    ('datasets__train__sigma_range', 25, 'nothing reads this key; remove it'),
    ('dist_params__inits', 'x', 'nothing reads this key; remove it'),
    ('queue_size', 180, 'nothing reads this key; remove it'),
    ('train__mix_batches', 5, 'KDModel does not read it; it belongs to stage 1'),
    ('datasets__train__use_shuffle', False, 'which nothing reads; BasicSR always shuffles'),
]

SILENT = [
    ('datasets__train__use_shuffle', True),
    ('datasets__train__gt_sizes', None),
    ('use_amp', False),
    ('network_d', None),
    ('path__pretrain_network_d', None),
    ('my_methods', '1.0'),  # what a line that imports a module leaves
    ('kd', 'json'),  # its name, under a key that another section has
    ('metrics', '2.0.9'),
    ('path__mine', 'a folder that BasicSR makes'),
    ('val__pbar', True),
]


def _scratch(make_options, path, value):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    return changed(opt, {path: value})


@pytest.mark.parametrize(('path', 'value', 'text'), ERRORS, ids=lambda value: str(value)[:40])
def test_a_key_that_would_change_the_result_is_an_error(path, value, text, make_options):
    errors, _ = found_in_training(_scratch(make_options, path, value))
    option = path.replace('__', '.')
    assert len(errors) == 1
    assert errors[0].startswith(option)
    assert text in errors[0]


@pytest.mark.parametrize(('path', 'value', 'text'), WARNINGS, ids=lambda value: str(value)[:40])
def test_any_other_unread_key_is_a_warning(path, value, text, make_options):
    errors, warnings = found_in_training(_scratch(make_options, path, value))
    assert not errors
    assert [w for w in warnings if w.startswith(path.replace('__', '.')) and text in w]


@pytest.mark.parametrize(('path', 'value'), SILENT, ids=lambda value: str(value)[:40])
def test_what_is_read_or_switched_off_is_left_alone(path, value, make_options):
    assert found_in_training(_scratch(make_options, path, value)) == ([], [])


def test_a_loss_to_the_target_needs_one(make_options):
    loss = {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, train__distill_opt=loss)
    errors, warnings = found_in_training(opt)
    assert not errors
    assert any(text.startswith('train.distill_opt: not used, because') for text in warnings)


def test_the_keys_of_a_test_are_checked(make_options):
    opt = _scratch(make_options, 'val__save_image', True)
    opt['datasets'] = {'test_1': {**opt['datasets']['val'], 'dataroot_gtt': 'x'}}
    errors, _ = found_in_test(opt)
    assert errors == [
        f'datasets.test_1.dataroot_gtt: {MEANT.format("dataroot_gtt", "dataroot_gt")}',
        f'val.save_image: {MEANT.format("save_image", "save_img")}',
    ]


def test_classes_of_users_have_keys_of_their_own(make_options):
    opt = _scratch(make_options, 'datasets__train__use_hfilp', True)
    opt['datasets']['train']['type'] = 'RealESRGANPairedDataset_basicsr'
    assert found_in_training(opt) == ([], [])


def test_no_key_of_other_projects_is_one_that_is_read():
    read = {**READ_KEYS, 'train': TRAIN_KEYS}
    for section, keys in FOREIGN_KEYS.items():
        known = {*read[section], *plugin_keys(section), *plugin_keys('datasets.train')}
        assert not known & (set(keys) - {'perceptual_opt'}), section


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'options').glob('*.yml')), ids=lambda path: path.stem
)
def test_no_file_of_ours_has_such_a_key(path):
    from mtkd_basicsr.checks.findings import Findings
    from mtkd_basicsr.checks.unread_keys import check_unread_keys
    from mtkd_basicsr.distillers import training_config

    opt = yaml.safe_load(path.read_text().replace('!!python/name:mtkd_basicsr.__version__', 'x'))
    findings = Findings()
    check_unread_keys(training_config(opt), findings)
    assert not findings
