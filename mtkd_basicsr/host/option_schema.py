"""The structure that BasicSR assumes when it parses options, before it builds a model."""

import math
import os
import sys
from typing import Any

# The keys of `train` that the training loop, `BaseModel` and `SRModel` read.
TRAIN_KEYS = (
    'ema_decay',
    'optim_g',
    'perceptual_opt',
    'pixel_opt',
    'scheduler',
    'total_iter',
    'warmup_iter',
)

# The keys that BasicSR reads in the other sections, or that its parser adds to them; `datasets` are
# those of its dataset and loader for pairs. `use_shuffle` is in its templates, and read by nothing.
READ_KEYS: dict[str, tuple[str, ...]] = {
    '': (
        'auto_resume',
        'datasets',
        'dist',
        'dist_params',
        'find_unused_parameters',
        'is_train',
        'logger',
        'manual_seed',
        'model_type',
        'name',
        'network_g',
        'num_gpu',
        'path',
        'rank',
        'root_path',
        'scale',
        'train',
        'val',
        'world_size',
    ),
    'datasets': (
        'batch_size_per_gpu',
        'color',
        'dataroot_gt',
        'dataroot_lq',
        'dataset_enlarge_ratio',
        'filename_tmpl',
        'gt_size',
        'io_backend',
        'mean',
        'meta_info_file',
        'name',
        'num_prefetch_queue',
        'num_worker_per_gpu',
        'persistent_workers',
        'phase',
        'pin_memory',
        'prefetch_mode',
        'scale',
        'std',
        'type',
        'use_hflip',
        'use_rot',
        'use_shuffle',
    ),
    'path': (
        'experiments_root',
        'ignore_resume_networks',
        'log',
        'models',
        'param_key_g',
        'pretrain_network_g',
        'results_root',
        'resume_state',
        'strict_load_g',
        'training_states',
        'visualization',
    ),
    'val': ('metrics', 'pbar', 'save_img', 'suffix', 'val_freq'),
    'logger': ('print_freq', 'save_checkpoint_freq', 'use_tb_logger', 'wandb'),
    'logger.wandb': ('project', 'resume_id'),
    # The others are those of torch.distributed.init_process_group.
    'dist_params': ('backend', 'port', 'init_method', 'rank', 'timeout', 'world_size'),
}

# Keys that BasicSR assumes to exist in a training. Without them no further check is possible.
REQUIRED_FOR_TRAINING = (
    ('network_g', 'type'),
    ('datasets', 'train', 'gt_size'),
    ('datasets', 'train', 'batch_size_per_gpu'),
    ('train', 'optim_g', 'type'),
    ('train', 'scheduler', 'type'),
    ('train', 'total_iter'),
    ('logger', 'print_freq'),
    ('logger', 'save_checkpoint_freq'),
)

_FORBIDDEN_CHARACTERS = set('/\\\0')
# BasicSR appends to the name for its log file, and file systems allow 255 bytes.
_MAX_NAME_BYTES = 200
# What an error expects, by kind of value.
_EXPECTED = {
    'mapping': 'a mapping',
    'string': 'a string',
    'string or nothing': 'a string or nothing (~)',
}
# The folders of `path` that BasicSR sets when it parses the options of a training, below
# experiments/NAME, and of a test, below results/NAME.
_FOLDERS_OF_TRAINING = {
    'experiments_root': '',
    'models': 'models',
    'training_states': 'training_states',
    'log': '',
    'visualization': 'visualization',
}
_FOLDERS_OF_TEST = ('results_root', 'log', 'visualization')
# Parts of the keys of `path` whose values are not folders to create.
FILE_KEYS = ('resume', 'pretrain_network', 'param_key', 'strict_load')


def _has_kind(value: Any, kind: str) -> bool:
    if value is None:
        return kind == 'string or nothing'
    return isinstance(value, dict if kind == 'mapping' else str)


def _value_errors(block: dict[str, Any], key: str, kind: str, path: str) -> list[str]:
    """Check one value; ``path`` is its dotted option key."""
    value = block.get(key)
    if _has_kind(value, kind):
        return []
    if value is None:
        return [f'{path}: missing']
    return [f'{path}: {value!r}; expected {_EXPECTED[kind]}']


def is_number(value: Any, least: float, most: float = math.inf, whole: bool = False) -> bool:
    """Return whether a value is a finite number from ``least`` to ``most``; booleans are not."""
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return least <= value <= most and value != math.inf


def name_errors(name: Any) -> list[str]:
    """Return the error if a value cannot name a folder of results; empty if it can."""
    if name is None:
        return ['name: missing']
    try:
        os.fsencode(str(name))
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        return [f'name: {name!r}; the names of files are in {encoding} here, which lacks a letter']
    if (
        not isinstance(name, str)
        or name in ('', '.', '..')
        or _FORBIDDEN_CHARACTERS & set(name)
        or len(name.encode()) > _MAX_NAME_BYTES
    ):
        return [f'name: {name!r}; expected a name for a folder, a string without / and \\']
    return []


def _dataset_errors(opt: dict[str, Any], is_train: bool) -> list[str]:
    errors = _value_errors(opt, 'datasets', 'mapping', 'datasets')
    if errors:
        return errors
    if not opt['datasets']:
        return ['datasets.train: missing' if is_train else 'datasets: missing']
    for phase, block in opt['datasets'].items():
        path = f'datasets.{phase}'
        if is_train and phase != 'train' and phase.split('_')[0] != 'val':
            errors.append(f'{path}: unknown phase; expected train, val, or val_ and a name')
        if not isinstance(block, dict):
            errors.append(f'{path}: {block!r}; expected a mapping')
            continue
        for key in ('name', 'type'):
            errors += _value_errors(block, key, 'string', f'{path}.{key}')
        for key in ('dataroot_gt', 'dataroot_lq'):
            errors += _value_errors(block, key, 'string or nothing', f'{path}.{key}')
    if is_train and 'train' not in opt['datasets']:
        errors.append('datasets.train: missing')
    return errors


def _replaced_folders(is_train: bool) -> tuple[str, ...]:
    return tuple(_FOLDERS_OF_TRAINING) if is_train else _FOLDERS_OF_TEST


def _path_errors(opt: dict[str, Any], is_train: bool) -> list[str]:
    errors = _value_errors(opt, 'path', 'mapping', 'path')
    if errors:
        return errors
    for key, value in opt['path'].items():
        if not any(part in key for part in FILE_KEYS):
            is_unread = value is None and key in _replaced_folders(is_train)
            if not is_unread and (not isinstance(value, str) or not value):
                errors.append(
                    f'path.{key}: {value!r}; expected the path of a folder, which BasicSR creates'
                )
        elif key == 'strict_load_g':
            if not isinstance(value, bool):
                errors.append(f'path.{key}: {value!r}; expected true or false')
        elif any(part in key for part in ('resume_state', 'pretrain_network', 'param_key')):
            errors += _value_errors(opt['path'], key, 'string or nothing', f'path.{key}')
    return errors


def folders_of_training(root: str, name: str) -> dict[str, str]:
    """Return the folders of a training as BasicSR sets them in ``path``.

    Args:
        root: The folder that experiments/ goes into.
        name: The name of the training.
    """
    top = os.path.join(root, 'experiments', name)
    return {key: os.path.join(top, folder) for key, folder in _FOLDERS_OF_TRAINING.items()}


def replaced_folder_errors(
    path: dict[str, Any], parsed: dict[str, Any], is_train: bool
) -> list[str]:
    """Find folders that an option file names, and that BasicSR replaces by its own.

    Args:
        path: The section ``path`` of the option file.
        parsed: The same section as BasicSR has set it.
        is_train: Whether the options are for a training; otherwise for a test.

    Returns:
        One message per key that names another folder than the one that is used.
    """
    top = 'experiments' if is_train else 'results'
    errors = []
    for key in _replaced_folders(is_train):
        value = path.get(key)
        if not isinstance(value, str) or not value:
            continue
        if os.path.realpath(os.path.expanduser(value)) != os.path.realpath(parsed[key]):
            errors.append(
                f"path.{key}: '{value}'; BasicSR does not read it, and would write into "
                f"'{parsed[key]}'; remove it (for another disk make {top} a link to a folder there)"
            )
    return errors


def _val_errors(opt: dict[str, Any], is_train: bool) -> list[str]:
    if is_train and opt.get('val') is None:
        return []
    errors = _value_errors(opt, 'val', 'mapping', 'val')
    if errors:
        return errors
    save_img = opt['val'].get('save_img')
    if not isinstance(save_img, bool):
        errors.append(f'val.save_img: {save_img!r}; expected true or false')
    val_freq = opt['val'].get('val_freq')
    if is_train and not is_number(val_freq, 1):
        errors.append(f'val.val_freq: {val_freq!r}; expected a number of iterations, from 1 on')
    return errors


def structure_errors(opt: dict[str, Any], is_train: bool = True) -> list[str]:
    """Find options that BasicSR reads unchecked and that are missing or of the wrong type.

    Args:
        opt: All options.
        is_train: Whether the options are for a training; otherwise for a test.

    Returns:
        One message per key, with the key, its value and the expected value.
    """
    errors = name_errors(opt.get('name'))
    errors += _value_errors(opt, 'model_type', 'string', 'model_type')
    num_gpu = opt.get('num_gpu')
    if num_gpu != 'auto' and not is_number(num_gpu, 0, whole=True):
        errors.append(f'num_gpu: {num_gpu!r}; expected a whole number from 0 on, or auto')
    seed = opt.get('manual_seed')
    if seed is not None and not is_number(seed, 0, 2**32 - 1, whole=True):
        errors.append(
            f'manual_seed: {seed!r}; expected a whole number from 0 to {2**32 - 1}, or nothing (~)'
        )
    dist_params = opt.get('dist_params')
    if dist_params is not None and not isinstance(dist_params, dict):
        errors.append(f'dist_params: {dist_params!r}; expected a mapping')
    for key in ('network_g', 'train', 'logger') if is_train else ('network_g',):
        errors += _value_errors(opt, key, 'mapping', key)
    errors += _dataset_errors(opt, is_train)
    errors += _path_errors(opt, is_train)
    return errors + _val_errors(opt, is_train)
