"""Checks that run before BasicSR starts its loop and creates folders."""

import contextlib
import copy
import io
import logging
import os
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from ..config import MODELS, TrainingConfig, model_of, parse_datasets, parse_scale
from ..distillers import training_config
from ..errors import DataError, MTKDError, OptionError, first_line
from ..host.api import build_dataset, build_model, initialized_logger, model_class
from ..host.one_gpu import refuse_without_gpus, use_one_gpu
from ..host.option_schema import replaced_folder_errors, structure_errors
from ..host.resume import given_state, without_replaced_weights
from ..host.yaml_loader import options_of_this_process
from ..utils.random_state import unchanged
from ..utils.resources import weights_file
from ..weights.fitting import refuse_random
from ..weights.metadata import METADATA
from ..weights.networks import build
from ..weights.reading import read_weights
from .dataset_options import check_dataset_options
from .findings import Findings
from .images import check_images
from .loggers import check_loggers
from .metrics import check_metric_use
from .optimizer import check_loaders, check_metrics, refuse_unknown_model
from .own_folder import check_own_folder, check_own_results
from .pretrained import check_resumed_network, load_pretrained
from .result_names import check_saved_images
from .static import check_datasets, check_folders, refuse
from .unread_keys import check_unread_keys
from .validated_teachers import check_validation_teachers

# Models whose construction has no side effects; models of other packages may do anything.
_MODELS_WITHOUT_SIDE_EFFECTS = (*MODELS, 'SRModel')


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Suppress output in the block and restore BasicSR's logger afterwards.

    The first caller of that logger determines its log file.
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
def _explain_build_errors(key: str, kind: str) -> Iterator[None]:
    """Turn any error of a constructor into one that names the option key."""
    try:
        yield
    except MTKDError:
        raise
    except Exception as error:  # BasicSR, torch and classes of users raise any type
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise OptionError(
            f'{key}: {kind} cannot be built: {type(error).__name__}: {first_line(error)} '
            f'({os.path.basename(place.filename)}, line {place.lineno})'
        ) from error


def _try_build(opt: dict[str, Any], with_model: bool = True) -> None:
    """Build everything that BasicSR's loop would build, on the CPU, and discard it.

    BasicSR then creates no folder for a training that cannot be built.

    Args:
        opt: Options as parsed by BasicSR.
        with_model: Whether to build the model, teachers included; otherwise only the datasets.

    Raises:
        MTKDError: A dataset or the model cannot be built.
    """
    opt = copy.deepcopy(opt)
    opt.update(dist=False, num_gpu=0)
    for phase, block in opt['datasets'].items():
        with _explain_build_errors(f'datasets.{phase}', block['type']):
            dataset = build_dataset(block)
            if not len(dataset):  # type: ignore[arg-type]  # torch declares no length
                raise DataError(f"datasets.{phase}: no images in '{block.get('dataroot_gt')}'")
    if with_model:
        with _explain_build_errors('model_type', opt['model_type']):
            build_model(opt)


def _check_is_no_file(folder: str) -> None:
    """Raise if a file has the path of a folder of results."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        name = os.path.basename(folder)
        raise OptionError(f'{name}: is a file; expected a folder for the results, or nothing')


@_silenced()
def before_training(opt: dict[str, Any], is_first: bool = True) -> None:
    """Raise if a training would fail, before BasicSR creates folders for it.

    Args:
        opt: Options as parsed by BasicSR.
        is_first: Whether this process is the first one of its machine. It alone builds the
            model; the others wait for it where they meet, and end with it.

    Raises:
        MTKDError: An option cannot be used. The message lists as many errors as possible.
    """
    refuse_unknown_model(opt['model_type'])
    findings = Findings()
    config = refuse(opt)
    if config is None:
        check_loggers(opt, findings)
        findings.raise_errors()
        return
    check_images(config, findings)
    check_saved_images(config, findings)
    findings.raise_errors()
    _try_build(opt, with_model=is_first)
    if is_first:
        check_validation_teachers(config)
    _check_is_no_file(os.path.dirname(opt['path']['experiments_root']))


def add_network(opt: dict[str, Any]) -> None:
    """Add ``network_g`` to the options of a test that lack it, if the checkpoint records it.

    Args:
        opt: All options of a test.

    Raises:
        WeightsError: ``path.pretrain_network_g`` cannot be read.
    """
    path = opt.get('path')
    weights = path.get('pretrain_network_g') if isinstance(path, dict) else None
    if opt.get('network_g') is not None or not isinstance(weights, str):
        return
    key = 'path.pretrain_network_g'
    content = read_weights(os.path.expanduser(weights_file(weights, key)), key)
    network = (content.get(METADATA) or {}).get('network')
    if network is not None:
        opt['network_g'] = copy.deepcopy(network)


def _check_test(config: TrainingConfig, findings: Findings) -> None:
    """Check the options of a test that no file is read for."""
    check_metrics(config, findings)
    check_metric_use(config, findings)
    check_loaders(config, findings)
    check_datasets(config, findings)
    check_own_results(config, findings)
    if config.model is not None:  # BasicSR's own models read what they like
        check_unread_keys(config, findings)
        check_dataset_options(config, findings)


@_silenced()
def before_test(opt: dict[str, Any]) -> None:
    """Raise if a test would fail, before BasicSR creates the folder for its results.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        MTKDError: An option cannot be used.
    """
    refuse_unknown_model(opt['model_type'])
    if opt['model_type'] not in _MODELS_WITHOUT_SIDE_EFFECTS:
        return
    findings = Findings()
    is_paired = any(dataset.is_paired for dataset in parse_datasets(opt).values())
    if opt.get('scale') is None and not is_paired and model_of(opt['model_type']) is None:
        # BasicSR needs none without ground truths. Its archs call theirs so.
        opt = {**opt, 'scale': opt['network_g'].get('upscale', 1)}
    with findings.collect_errors():
        parse_scale(opt)
    findings.raise_errors()
    config = training_config(opt, errors=findings)
    with findings.collect_errors():
        load_pretrained(config, build(config.network, 'network_g'))
    _check_test(config, findings)
    findings.raise_errors()
    check_images(config, findings)
    check_saved_images(config, findings)
    findings.raise_errors()
    _try_build(opt)
    _check_is_no_file(os.path.dirname(opt['path']['results_root']))


def _check_ignored(model_type: str, keys: Sequence[str], findings: Findings) -> None:
    """Check that a model of BasicSR gets no options of distillation, which it ignores.

    Args:
        model_type: The model. One of somebody else may read them.
        keys: The options that are given.
        findings: Results are added to it.
    """
    package = getattr(model_class(model_type), '__module__', '').partition('.')[0]
    if keys and package == 'basicsr':
        findings.error(
            f"model_type: '{model_type}', which does not read {', '.join(keys)}; expected "
            f'{", ".join(MODELS)}, or none of these keys'
        )


@unchanged()
def check_options(opt: dict[str, Any], is_train: bool) -> None:
    """Raise if a script of BasicSR would fail, before it creates folders.

    BasicSR's own error would name no option key.

    For models of this package these are the first checks of ``mtkd train``; for other models only
    the folders of images are checked.

    Args:
        opt: Options as parsed by BasicSR.
        is_train: Whether the script is ``train.py``; otherwise ``test.py``.

    Raises:
        MTKDError: An option cannot be used. The message lists all errors.
    """
    findings = Findings()
    if model_of(opt.get('model_type')) is not None:
        if is_train:
            use_one_gpu(opt)
        if not is_train:
            add_network(opt)
        for text in structure_errors(opt, is_train):
            findings.error(text)
        findings.raise_errors()
        folders = options_of_this_process().get('path') or {}
        for text in replaced_folder_errors(folders, opt['path'], is_train):
            findings.error(text)
        findings.raise_errors()
        if is_train:
            config = refuse(without_replaced_weights(opt, opt['auto_resume']))
            if config is not None:
                check_resumed_network(config, given_state(opt, opt['auto_resume']))
                check_own_folder(config, findings)
        else:
            config = training_config(opt, errors=findings)
            _check_test(config, findings)
            if config.pretrained_network is None:
                with findings.collect_errors():
                    refuse_random(build(config.network, 'network_g'))
    else:
        check_folders(parse_datasets(opt).values(), findings)
        if is_train:
            if opt['dist']:
                with findings.collect_errors():
                    refuse_without_gpus(opt['model_type'])
            train = opt.get('train') or {}
            given = [key for key in ('teachers', 'fusion') if opt.get(key)]
            given += [f'train.{key}' for key in ('kd', 'distill_opt') if train.get(key)]
            _check_ignored(opt['model_type'], given, findings)
            check_loggers(opt, findings)
    findings.raise_errors()
