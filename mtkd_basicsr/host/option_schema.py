"""What BasicSR takes for granted when it parses options, before any model sees them."""

import math
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

# Keys that BasicSR takes for granted in a training, and without which nothing else can be looked
# at.
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

_UNUSABLE = set('/\\\0')
# bytes; BasicSR makes the name of a log file with it, and file systems take 255
_LONGEST_NAME = 200
_EXPECTED = {'mapping': 'a mapping', 'text': 'a text', 'text or nothing': 'a text or nothing (~)'}


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, dict if kind == 'mapping' else str) or (
        value is None and kind.endswith('nothing')
    )


def _problem(block: dict[str, Any], key: str, kind: str, where: str) -> list[str]:
    if block.get(key) is None and kind != 'text or nothing':
        return [f'{where}: missing; it is needed here']
    if _is(block.get(key), kind):
        return []
    return [f'{where}: {block[key]!r}; expected {_EXPECTED[kind]}']


def is_number(value: Any, least: float, most: float = math.inf, whole: bool = False) -> bool:
    """Return whether a value is a number from ``least`` to ``most``; infinity and true are none."""
    kind = int if whole else (int, float)
    return (
        isinstance(value, kind)
        and not isinstance(value, bool)
        and least <= value <= most
        and value != math.inf
    )


def name_errors(name: Any) -> list[str]:
    """Return what keeps a value from being the name of a folder of results: one text, or none."""
    if name is None:
        return ['name: missing; it is needed here']
    if (
        not isinstance(name, str)
        or name in ('', '.', '..')
        or _UNUSABLE & set(name)
        or len(name.encode()) > _LONGEST_NAME
    ):
        return [f'name: {name!r}; expected a name for a folder, a text without / and \\']
    return []


def _datasets(opt: dict[str, Any], is_train: bool) -> list[str]:
    found = _problem(opt, 'datasets', 'mapping', 'datasets')
    if found or not opt['datasets']:
        return found or [f'datasets{".train" if is_train else ""}: missing; it is needed here']
    for phase, block in opt['datasets'].items():
        where = f'datasets.{phase}'
        if is_train and phase != 'train' and phase.split('_')[0] != 'val':
            found.append(f'{where}: unknown phase; expected train, val, or val_ and a name')
        if not isinstance(block, dict):
            found.append(f'{where}: {block!r}; expected a mapping')
            continue
        for key in ('name', 'type'):
            found += _problem(block, key, 'text', f'{where}.{key}')
        for key in ('dataroot_gt', 'dataroot_lq'):
            found += _problem(block, key, 'text or nothing', f'{where}.{key}')
    if is_train and 'train' not in opt['datasets']:
        found.append('datasets.train: missing; it is needed here')
    return found


def _path(opt: dict[str, Any]) -> list[str]:
    found = _problem(opt, 'path', 'mapping', 'path')
    for key, value in ({} if found else opt['path']).items():
        if key == 'strict_load_g' and not isinstance(value, bool):
            found.append(f'path.{key}: {value!r}; expected true or false')
        elif ('resume_state' in key or 'pretrain_network' in key or 'param_key' in key) and not _is(
            value, 'text or nothing'
        ):
            found.append(f'path.{key}: {value!r}; expected a text or nothing (~)')
        elif not any(
            part in key for part in ('resume', 'pretrain_network', 'param_key', 'strict_load')
        ) and not (isinstance(value, str) and value):
            found.append(
                f'path.{key}: {value!r}; expected the path of a folder, which BasicSR makes'
            )
    return found


def _val(opt: dict[str, Any], is_train: bool) -> list[str]:
    if is_train and opt.get('val') is None:
        return []
    found = _problem(opt, 'val', 'mapping', 'val')
    if found:
        return found
    val = opt['val']
    if not isinstance(val.get('save_img'), bool):
        found.append(f'val.save_img: {val.get("save_img")!r}; expected true or false')
    if is_train and not is_number(val.get('val_freq'), 1):
        found.append(
            f'val.val_freq: {val.get("val_freq")!r}; expected a number of iterations, from 1 on'
        )
    return found


def structure_errors(opt: dict[str, Any], is_train: bool = True) -> list[str]:
    """Return what is missing, or of another kind, among the options that BasicSR does not check.

    Args:
        opt: An option file.
        is_train: For a training; else for a test.

    Returns:
        One text for each key: the key, the value seen, what was expected.
    """
    found = name_errors(opt.get('name'))
    found += _problem(opt, 'model_type', 'text', 'model_type')
    if opt.get('num_gpu') != 'auto' and not is_number(opt.get('num_gpu'), 0, whole=True):
        found.append(f'num_gpu: {opt.get("num_gpu")!r}; expected a whole number from 0 on, or auto')
    if opt.get('manual_seed') is not None and not is_number(
        opt['manual_seed'], 0, 2**32 - 1, whole=True
    ):
        found.append(
            f'manual_seed: {opt["manual_seed"]!r}; expected a whole number from 0 to {2**32 - 1}, '
            'or nothing (~)'
        )
    if opt.get('dist_params') is not None and not isinstance(opt['dist_params'], dict):
        found.append(f'dist_params: {opt["dist_params"]!r}; expected a mapping')
    for key in ('network_g', 'train', 'logger') if is_train else ('network_g',):
        found += _problem(opt, key, 'mapping', key)
    return found + _datasets(opt, is_train) + _path(opt) + _val(opt, is_train)
