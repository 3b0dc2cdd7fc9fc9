"""Options of datasets that make images other than the networks, teachers and metrics expect."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config import DatasetConfig, TrainingConfig
from ..errors import did_you_mean
from .findings import Findings

# What the datasets of BasicSR lack that are for other tasks, by name.
_NO_LQ = 'it has no low-resolution images'
_VIDEOS = 'it is for videos'
_UNSUITABLE = {
    'FFHQDataset': _NO_LQ,
    'REDSDataset': _VIDEOS,
    'REDSRecurrentDataset': _VIDEOS,
    'RealESRGANDataset': f'{_NO_LQ}, but kernels to make some',
    'VideoRecurrentTestDataset': _VIDEOS,
    'VideoTestDUFDataset': _VIDEOS,
    'VideoTestDataset': _VIDEOS,
    'VideoTestVimeo90KDataset': _VIDEOS,
    'Vimeo90KDataset': _VIDEOS,
    'Vimeo90KRecurrentDataset': _VIDEOS,
}
WITHOUT_GROUND_TRUTH = 'SingleImageDataset'
_BACKENDS = ('disk', 'lmdb', 'memcached')
_MEMCACHED_KEYS = ('server_list_cfg', 'client_cfg')
# Names that networks of BasicSR have for their number of input channels.
_CHANNELS = ('num_in_ch', 'in_chans', 'in_channels', 'in_nc')
_NO_EFFECT = {'mean': 0, 'std': 1}


def _check_type(dataset: DatasetConfig, findings: Findings) -> None:
    # BasicSR's registry adds this suffix to some of its names.
    name = str(dataset.type).removesuffix('_basicsr')
    why = _UNSUITABLE.get(name)
    if name == WITHOUT_GROUND_TRUTH and dataset.phase == 'train':
        why = 'it has no ground truths'
    if why is not None:
        findings.error(
            f"{dataset.key}.type: '{dataset.type}'; {why}; expected DistillImageDataset or "
            'PairedImageDataset'
        )


def _check_normalization(dataset: DatasetConfig, findings: Findings) -> None:
    for name, neutral in _NO_EFFECT.items():
        value = dataset.options.get(name)
        values = value if isinstance(value, list) else [value]
        if value is not None and any(each != neutral for each in values):
            findings.error(
                f'{dataset.key}.{name}: {value!r}; expected nothing (~): students, teachers and '
                'metrics take images in [0, 1], and networks subtract a mean of their own'
            )
            return  # one of the two is enough
    given = [name for name in _NO_EFFECT if dataset.options.get(name) is not None]
    if len(given) == 1:
        findings.error(
            f'{dataset.key}.{given[0]}: BasicSR needs mean and std, or none of them; remove it'
        )


def _check_color(dataset: DatasetConfig, takers: str, channels: int, findings: Findings) -> None:
    color = dataset.options.get('color')
    if color is not None and color not in ('y', 'rgb'):
        findings.error(
            f"{dataset.key}.color: {color!r}; expected nothing (~) for RGB, or 'y'; BasicSR "
            'ignores anything else'
        )
    elif color == 'y' and channels != 1:
        findings.error(
            f"{dataset.key}.color: 'y', which makes images of one channel; {takers} RGB images; "
            'remove it (val.metrics have test_y_channel)'
        )


def _check_template(dataset: DatasetConfig, findings: Findings) -> None:
    if 'filename_tmpl' not in dataset.options:
        return
    template = dataset.options['filename_tmpl']
    try:
        fits = template.format('1') != template.format('2')
    except (AttributeError, LookupError, ValueError):
        fits = False
    if not fits:
        findings.error(
            f'{dataset.key}.filename_tmpl: {template!r}; expected a string with {{}} in the place '
            "of the ground truth's name, such as '{}x2'"
        )


def backend_problem(dataset: DatasetConfig) -> str | None:
    """Return what is wrong with the ``io_backend`` of a dataset for images; None if nothing is."""
    key = f'{dataset.key}.io_backend'
    backend = dataset.options.get('io_backend')
    if not isinstance(backend, dict) or backend.get('type') is None:
        return f'{key}: {backend!r}; expected a mapping, such as {{type: disk}}'
    kind = backend['type']
    if kind not in _BACKENDS:
        return f'{key}.type: {kind!r}; {did_you_mean(kind, _BACKENDS)}'
    if kind == 'disk' and len(backend) > 1:
        names = ', '.join(name for name in backend if name != 'type')
        return f'{key}: type disk has no other keys; remove {names}'
    if kind == 'memcached' and find_spec('mc') is None:
        return f'{key}.type: memcached, but its module mc is not installed; use disk'
    if kind == 'memcached' and not all(name in backend for name in _MEMCACHED_KEYS):
        return f'{key}: memcached needs {" and ".join(_MEMCACHED_KEYS)}'
    return None


# What stands behind a name in the lists of BasicSR: (h, w, c).
_SHAPE = re.compile(r' *\([\d, ]*\)$')


def _is_there(root: str, name: str) -> bool:
    return os.path.exists(os.path.join(root, name))


def _check_names(dataset: DatasetConfig, findings: Findings) -> None:
    """Check the list of names that ``meta_info_file`` names."""
    key = f'{dataset.key}.meta_info_file'
    path = dataset.options.get('meta_info_file')
    if path is None:
        return
    if not isinstance(path, str):
        findings.error(f'{key}: {path!r}; expected the path of a file')
        return
    if (dataset.options.get('io_backend') or {}).get('type') == 'lmdb':
        findings.warning(f'{key}: BasicSR does not read it with an LMDB: all its images are used')
        return
    if not os.path.isfile(path):
        return  # which check_folders reports
    try:
        lines = Path(path).read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        findings.error(f"{key}: '{path}' is not a text in UTF-8: {error}")
        return
    if not lines:
        findings.error(f"{key}: '{path}' is empty; expected a name in each line")
    root = str(dataset.options.get('dataroot_gt'))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            findings.error(f"{key}: '{path}', line {number} is empty; expected a name in each")
            return
        name, _, rest = line.strip().partition(' ')  # as BasicSR does it
        if not rest or rest[0] == '(' or not os.path.isdir(root) or _is_there(root, name):
            continue
        # Behind the name of an image that is missing there may be anything.
        if not os.path.splitext(name)[1] or _is_there(root, _SHAPE.sub('', line.strip())):
            findings.error(
                f"{key}: '{path}', line {number}: '{line.strip()}', of which BasicSR takes what is "
                f"before the first blank, '{name}'; expected names without blanks"
            )
            return


def _check_loader(dataset: DatasetConfig, findings: Findings) -> None:
    for name in ('pin_memory', 'persistent_workers'):
        value: Any = dataset.options.get(name)
        if value is not None and not isinstance(value, bool):
            findings.error(f'{dataset.key}.{name}: {value!r}; expected true or false')
    workers = dataset.options.get('num_worker_per_gpu') if dataset.phase == 'train' else 0
    if dataset.options.get('persistent_workers') is True and workers == 0:
        why = 'BasicSR validates without workers'
        if dataset.phase == 'train':
            why = 'num_worker_per_gpu is 0'
        findings.error(f'{dataset.key}.persistent_workers: True, but {why}; remove it')


def check_dataset(dataset: DatasetConfig, takers: str, channels: int, findings: Findings) -> None:
    """Check options that BasicSR reads unchecked, and those that its networks alone understand.

    Classes of users get what their option file says.

    Args:
        dataset: An entry of ``datasets``.
        takers: Who takes the images, and the verb: ``'teachers take'``.
        channels: How many channels they take.
        findings: Results are added to it.
    """
    _check_type(dataset, findings)
    is_single = dataset.type == WITHOUT_GROUND_TRUTH
    if not dataset.is_paired and not is_single:
        return
    _check_normalization(dataset, findings)
    _check_color(dataset, takers, channels, findings)
    problem = backend_problem(dataset)
    if problem is not None:
        findings.error(problem)
    else:
        _check_names(dataset, findings)
    _check_loader(dataset, findings)
    if not is_single:
        _check_template(dataset, findings)


def network_channels(config: TrainingConfig) -> int:
    """Return how many channels the networks take; those of teachers have three."""
    names = [name for name in _CHANNELS if name in config.network]
    if config.uses_teachers or not names:
        return 3
    channels: int = config.network[names[0]]
    return channels


def check_dataset_options(config: TrainingConfig, findings: Findings) -> None:
    """Check all datasets of a training or a test; see :func:`check_dataset`."""
    takers = 'teachers take' if config.uses_teachers else f'{config.network.get("type")} takes'
    channels = network_channels(config)
    for dataset in config.datasets.values():
        check_dataset(dataset, takers, channels, findings)
