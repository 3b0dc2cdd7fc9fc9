"""Loggers that cannot be used are found before a training has made anything."""

import importlib.util
import os
import sys

import pytest
from conftest import run, stock, write_options
from helpers.found import GONE, changed, found_in_training

NO_WANDB = importlib.util.find_spec('wandb') is None


def _options(make_options, **changes):
    return changed(make_options('KDModel', train__kd={'type': 'Scratch'}), changes)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'use_tb_logger': GONE}, 'logger.use_tb_logger: missing; expected true or false'),
        ({'wandb': 'p'}, "logger.wandb: 'p'; expected a mapping with the key project"),
        ({'wandb__project': 3}, 'logger.wandb.project: 3; expected a string or nothing (~)'),
        (
            {'wandb__project': 'p'},
            "logger.wandb.project: 'p', but logger.use_tb_logger is False; wandb needs true",
        ),
    ],
    ids=str,
)
def test_a_wrong_logger_is_named(changes, text, make_options):
    opt = _options(make_options, **{f'logger__{key}': value for key, value in changes.items()})
    assert text in found_in_training(opt)[0]


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({}, 'the package wandb is not installed; pip install wandb, or set it to ~'),
        ({'name': 'debug_x'}, None),  # BasicSR uses no logger then
    ],
)
@pytest.mark.skipif(not NO_WANDB, reason='wandb is installed')
def test_wandb_may_be_missing(changes, text, make_options):
    logger = {'logger__use_tb_logger': True, 'logger__wandb__project': 'p'}
    errors, _ = found_in_training(_options(make_options, **logger, **changes))
    assert errors == ([] if text is None else [f"logger.wandb.project: 'p', but {text}"])


@pytest.mark.skipif(not NO_WANDB, reason='wandb is installed')
def test_a_folder_that_wandb_made_is_not_wandb(make_options, tmp_path, monkeypatch):
    (tmp_path / 'wandb').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    logger = {'logger__use_tb_logger': True, 'logger__wandb__project': 'p'}
    errors, _ = found_in_training(_options(make_options, **logger))
    folder = tmp_path / 'wandb'
    assert errors == [
        f"logger.wandb.project: 'p', but the package wandb is not installed ('{folder}' is a "
        'folder without code); pip install wandb, or set it to ~'
    ]


@pytest.mark.parametrize('name', ['tensorboard', 'wandb'])
def test_a_package_that_cannot_be_imported_is_named(name, make_options, tmp_path, monkeypatch):
    (tmp_path / name).mkdir()
    (tmp_path / name / '__init__.py').write_text('raise RuntimeError("no protobuf")\n')
    monkeypatch.syspath_prepend(tmp_path)
    for module in list(sys.modules):
        if module.split('.')[0] == name or module.startswith('torch.utils.tensorboard'):
            monkeypatch.delitem(sys.modules, module)
    logger = {'logger__use_tb_logger': True}
    if name == 'wandb':
        logger['logger__wandb__project'] = 'p'
    errors, _ = found_in_training(_options(make_options, **logger))
    assert any('cannot be imported: RuntimeError: no protobuf' in error for error in errors)


@pytest.mark.slow
@pytest.mark.skipif(not NO_WANDB, reason='wandb is installed')
def test_the_script_of_basicsr_makes_nothing(basicsr_tree, make_options, tmp_path):
    logger = {'logger__use_tb_logger': True, 'logger__wandb__project': 'p'}
    for model in ('KDModel', 'SRModel'):
        opt = _options(make_options, name='with_wandb', model_type=model, **logger)
        if model == 'SRModel':
            del opt['train']['kd']
        options = write_options(tmp_path / 'options.yml', opt)
        printed = stock(basicsr_tree, 'train.py', '-opt', options, expect=1)
        assert "logger.wandb.project: 'p', but the package wandb is not installed" in printed
        assert not os.path.exists(basicsr_tree / 'experiments' / 'with_wandb')
    printed = run(
        [sys.executable, '-m', 'mtkd_basicsr', 'train', '-opt', options], tmp_path, expect=1
    )
    assert printed.endswith('pip install wandb, or set it to ~\n')
    assert not (tmp_path / 'experiments').exists()
