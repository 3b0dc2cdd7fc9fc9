"""Checks that run before BasicSR's loop begins and makes its folders."""

import contextlib
import copy
import io
import logging
import os
import traceback
from collections.abc import Iterator
from typing import Any

from ..config import MODELS, model_of, parse_datasets, parse_scale
from ..distillers import training_config
from ..errors import DataError, MTKDError, OptionError, first_line
from ..host.api import build_dataset, build_model, initialized_logger
from ..host.option_schema import structure_errors
from ..weights.networks import build
from .findings import Findings
from .images import check_images
from .networks import load_pretrained
from .optimizer import check_metrics, refuse_unknown_model
from .static import check_datasets, check_folders, refuse

# Models whose construction leaves nothing behind; those of others may do anything.
_KNOWN = (*MODELS, 'SRModel')


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Silence what is said inside, and leave BasicSR's logger as it was.

    The first who asks for that logger decides where it goes.
    """
    logger = logging.getLogger('basicsr')
    disabled = logger.disabled
    handlers = list(logger.handlers)
    propagate = logger.propagate
    known = dict(initialized_logger)
    logger.disabled = True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.disabled = disabled
        logger.handlers[:] = handlers
        logger.propagate = propagate
        initialized_logger.clear()
        initialized_logger.update(known)


@contextlib.contextmanager
def _building(key: str, kind: str) -> Iterator[None]:
    try:
        yield
    except MTKDError:
        raise
    except Exception as error:  # whatever BasicSR, torch, or somebody's own class raises
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise OptionError(
            f'{key}: {kind} cannot be built: {type(error).__name__}: {first_line(error)} '
            f'({os.path.basename(place.filename)}, line {place.lineno})'
        ) from error


def _rehearse(opt: dict[str, Any]) -> None:
    """Build what BasicSR's loop would build, on the CPU, and throw it away.

    Nothing is created before all of it is known to work.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        MTKDError: something cannot be built.
    """
    opt = copy.deepcopy(opt)
    opt.update(dist=False, num_gpu=0)
    for phase, block in opt['datasets'].items():
        with _building(f'datasets.{phase}', block['type']):
            dataset = build_dataset(block)
            if not len(dataset):  # type: ignore[arg-type]  # torch declares no length
                raise DataError(f"datasets.{phase}: no images in '{block.get('dataroot_gt')}'")
    with _building('model_type', opt['model_type']):
        build_model(opt)


def _refuse_file_in_the_way(folder: str) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        name = os.path.basename(folder)
        raise OptionError(f'{name}: a file stands where the folder of the results goes')


@_unheard()
def before_training(opt: dict[str, Any]) -> None:
    """Refuse what would end a training of ours, before BasicSR makes the first folder for it.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        MTKDError: something cannot be used; as many of the findings as can be had at once.
    """
    refuse_unknown_model(opt['model_type'])
    config = refuse(opt)
    if config is None:
        return
    findings = Findings()
    check_images(config, findings)
    findings.raise_errors()
    _rehearse(opt)
    _refuse_file_in_the_way(os.path.dirname(opt['path']['experiments_root']))


@_unheard()
def before_test(opt: dict[str, Any]) -> None:
    """Refuse what would end a test, before BasicSR makes the folder of its results.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        MTKDError: something cannot be used.
    """
    refuse_unknown_model(opt['model_type'])
    if opt['model_type'] not in _KNOWN:
        return
    findings = Findings()
    with findings.collect_errors():
        parse_scale(opt)
    findings.raise_errors()
    config = training_config(opt, errors=findings)
    with findings.collect_errors():
        load_pretrained(config, build(config.network, 'network_g'))
    check_metrics(config, findings)
    check_datasets(config, findings)
    findings.raise_errors()
    check_images(config, findings)
    findings.raise_errors()
    _rehearse(opt)
    _refuse_file_in_the_way(os.path.dirname(opt['path']['results_root']))


def check_options(opt: dict[str, Any], is_train: bool) -> None:
    """Refuse what would end a script of BasicSR, before it makes a folder.

    Its own error would name no option key.

    Models of ours are looked at as ``mtkd train`` does at first; of those of others only the
    folders of images.

    Args:
        opt: Options as parsed by BasicSR.
        is_train: For ``train.py``; else for ``test.py``.

    Raises:
        MTKDError: everything that was found.
    """
    findings = Findings()
    if model_of(opt.get('model_type')) is not None:
        for text in structure_errors(opt, is_train):
            findings.error(text)
        findings.raise_errors()
        if is_train:
            refuse(opt)
        else:
            check_datasets(training_config(opt), findings)
    else:
        check_folders(parse_datasets(opt).values(), findings)
    findings.raise_errors()
