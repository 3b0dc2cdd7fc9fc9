"""The names that BasicSR gives to runs of wandb, whose newer releases make them elsewhere."""

import sys
from types import SimpleNamespace

import pytest

from mtkd_basicsr.host import scripts


@pytest.mark.parametrize('is_new', [True, False], ids=['0.31', 'older'])
def test_a_run_has_a_name(is_new, tmp_path, monkeypatch):
    """Tried with wandb 0.31; here a package with its layout stands in, to install nothing."""
    lib = tmp_path / 'wandb' / 'sdk' / 'lib'
    lib.mkdir(parents=True)
    for folder in (tmp_path / 'wandb', tmp_path / 'wandb' / 'sdk', lib):
        (folder / '__init__.py').touch()
    (tmp_path / 'wandb' / 'util.py').write_text('' if is_new else 'def generate_id(): return 1\n')
    (tmp_path / 'wandb' / '__init__.py').write_text(
        'from . import util\nruns = []\ndef init(**given): runs.append(given)\n'
    )
    (lib / 'runid.py').write_text('def generate_id(): return 2\n')
    for name in list(sys.modules):
        if name.split('.')[0] == 'wandb':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    from basicsr.utils.logger import init_wandb_logger

    opt = {'name': 'x', 'rank': 0, 'logger': {'wandb': {'project': 'p', 'resume_id': None}}}
    scripts._with_run_ids(init_wandb_logger)(opt)
    (run,) = sys.modules['wandb'].runs
    assert (run['id'], run['resume']) == (2 if is_new else 1, 'never')
    for name in list(sys.modules):
        if name.split('.')[0] == 'wandb':
            del sys.modules[name]


def test_the_training_script_gets_it_once(tmp_path):
    path = str(tmp_path / 'basicsr' / 'train.py')
    functions = ('load_resume_state', 'init_wandb_logger', 'get_root_logger', 'get_env_info')
    script = SimpleNamespace(__file__=path, **{name: lambda *_: None for name in functions})
    scripts.repair(script, lambda opt, is_train: None)
    repaired = script.init_wandb_logger, script.get_root_logger
    scripts.repair(script, lambda opt, is_train: None)
    assert (script.init_wandb_logger, script.get_root_logger) == repaired
    assert all(getattr(function, 'is_checked', False) for function in repaired)
