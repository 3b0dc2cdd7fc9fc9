"""Keys outside of ``train`` that nothing reads: misspelled ones, and those of other projects.

Those of ``train`` are checked when the options are parsed.
"""

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..config import FOREIGN_KEYS, TrainingConfig, plugin_keys
from ..errors import did_you_mean
from ..host.option_schema import FILE_KEYS, READ_KEYS, TRAIN_KEYS
from .findings import Findings

# Dataset classes that read the keys of READ_KEYS['datasets'] and no others.
_DATASETS_OF_IMAGES = ('PairedImageDataset', 'DistillImageDataset', 'SingleImageDataset')
# Sections in which a key of another project changes nothing about the result.
_WITHOUT_EFFECT = ('val', 'logger')
# Where keys are looked for that stand in another section.
_PLACES = ('', 'train', 'datasets.train', 'val', 'logger', 'path')
# Keys that many sections, and modules of users, have.
_KEYS_OF_MANY = ('log', 'models', 'name', 'phase', 'scale', 'type')
_READ_BY_NOTHING = 'nothing reads this key; remove it'


def _resembled(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that an unknown one is probably meant to be; None without one."""
    by_lower = {each.lower(): each for each in known}
    nearest = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0.8)
    return by_lower[nearest[0]] if nearest else None


def _place_of(key: str, section: str) -> str | None:
    """Return the key in another section that a key of this name belongs to; None without one."""
    if key in _KEYS_OF_MANY:
        return None
    for place in _PLACES:
        known = [*plugin_keys(place), *READ_KEYS.get(place.partition('.')[0], TRAIN_KEYS)]
        if place.partition('.')[0] != section and key in known:
            return f'{place}.{key}' if place else key
    return None


def _check_section(
    entries: Mapping[str, Any], section: str, path: str, known: Iterable[str], findings: Findings
) -> None:
    """Check the keys of a section.

    Args:
        entries: The keys of the section, with their values.
        section: Its key in ``FOREIGN_KEYS``.
        path: Its dotted option key; ``''`` for all options.
        known: The keys that something reads.
        findings: Results are added to it.
    """
    known = list(known)
    foreign = FOREIGN_KEYS.get(section, {})
    for key, value in entries.items():
        if key in known:
            continue
        option = f'{path}.{key}' if path else key
        meant = _resembled(key, known)
        place = _place_of(key, section)
        if key in foreign:
            # What is switched off, is off here too; of `path` false is a value like any other.
            is_used = bool(value) or (section == 'path' and value is not None)
            if is_used and section in _WITHOUT_EFFECT:
                findings.warning(f'{option}: nothing reads this key; {foreign[key]}')
            elif is_used:
                findings.error(f"{option}: unknown key '{key}'; {foreign[key]}")
        elif place is not None and value is not None:
            findings.error(f'{option}: unknown key; it belongs to another section: {place}')
        elif meant is not None:
            findings.error(f"{option}: unknown key '{key}' (did you mean '{meant}'?)")
        elif value is not None:
            findings.warning(f'{option}: {_READ_BY_NOTHING}')


def _is_left_by_module(value: str) -> bool:
    """Return whether a text is what a module leaves that the file imports: name or version."""
    return value in sys.modules or value[:1].isdigit()


def _check_top(config: TrainingConfig, findings: Findings) -> None:
    known = [*READ_KEYS[''], *plugin_keys('')]
    checked = {}
    for key, value in config.options.items():
        if key.startswith('network_') and key.lower() != 'network_g':
            if value is not None:
                findings.error(f'{key}: {config.model_type} has no such network; remove it')
        elif (
            not isinstance(value, str)
            or key in FOREIGN_KEYS['']
            or (_place_of(key, '') and not _is_left_by_module(value))
        ):
            checked[key] = value
    _check_section(checked, '', '', known, findings)


def _check_path(config: TrainingConfig, findings: Findings) -> None:
    known = READ_KEYS['path']
    checked = {}
    for key, value in config.options['path'].items():
        names_a_file = any(part in key for part in ('pretrain', *FILE_KEYS))
        if value is None or key in known:
            continue
        is_known = key in FOREIGN_KEYS['path'] or _place_of(key, 'path') is not None
        if is_known or _resembled(key, known) is not None:
            checked[key] = value
        elif names_a_file:
            findings.error(f"path.{key}: unknown key '{key}'; {did_you_mean(key, known)}")
        # BasicSR creates a folder for any other key, for classes of users.
    _check_section(checked, 'path', 'path', known, findings)


def _check_datasets(config: TrainingConfig, findings: Findings) -> None:
    for dataset in config.datasets.values():
        if dataset.type not in _DATASETS_OF_IMAGES:
            continue
        known = [*READ_KEYS['datasets'], *plugin_keys('datasets.train')]
        _check_section(dataset.options, 'datasets', dataset.key, known, findings)
        if dataset.phase == 'train' and dataset.options.get('use_shuffle') is False:
            findings.warning(
                f'{dataset.key}.use_shuffle: False, which nothing reads; BasicSR always shuffles'
            )


def _check_stage(config: TrainingConfig, findings: Findings) -> None:
    """Warn about keys of stage 2 in a file of stage 1, and about a loss to no target."""
    train = config.options.get('train') or {}
    if not config.is_fusion_stage:
        if config.is_train and not config.uses_teachers and train.get('distill_opt'):
            findings.warning(
                'train.distill_opt: not used, because train.kd.type needs no teacher; remove it, '
                'or choose another method'
            )
        if config.is_train and train.get('mix_batches'):
            findings.warning(
                f'train.mix_batches: {config.model_type} does not read it; it belongs to stage 1'
            )
        return
    path = config.options['path']
    start = path.get('pretrain_network_g')
    # A training that goes on has its networks there too, and the iteration that it is at.
    if config.mix_batches and start is not None and path.get('resume_state') is None:
        findings.error(
            f"train.mix_batches: {config.mix_batches}, but path.pretrain_network_g is '{start}', "
            'and the rest of a trained network belongs to its own mix; expected 0'
        )
    given = {'fusion': config.options.get('fusion')}
    for key in ('kd', 'distill_opt'):
        given[f'train.{key}'] = train.get(key)
    for key, value in given.items():
        if value is not None:
            findings.warning(f'{key}: {config.model_type} does not read it; it belongs to stage 2')


def check_unread_keys(config: TrainingConfig, findings: Findings) -> None:
    """Find keys that nothing reads, although they stand for something.

    A misspelled key, one that stands in the wrong section, and one of another project that would
    change the result, is an error; any other one is a warning.

    Args:
        config: Options of a model of this package, without
            :func:`~mtkd_basicsr.host.option_schema.structure_errors`.
        findings: Results are added to it.
    """
    _check_top(config, findings)
    _check_path(config, findings)
    _check_stage(config, findings)
    _check_datasets(config, findings)
    for section in ('val', 'logger', 'dist_params'):
        block = config.options.get(section)
        if isinstance(block, dict):
            known = [*READ_KEYS[section], *plugin_keys(section)]
            _check_section(block, section, section, known, findings)
    wandb = (config.options.get('logger') or {}).get('wandb')
    if isinstance(wandb, dict):
        _check_section(wandb, 'logger.wandb', 'logger.wandb', READ_KEYS['logger.wandb'], findings)
