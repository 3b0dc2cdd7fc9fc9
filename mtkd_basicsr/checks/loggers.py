"""Whether the loggers of a training can be used, which BasicSR finds out after it made folders."""

import contextlib
import importlib
import io
from importlib.util import find_spec
from typing import Any

from ..errors import first_line
from .findings import Findings


def _why_not(module: str, package: str) -> str | None:
    """Return why a module cannot be imported; None if it can.

    Args:
        module: The module that the training imports.
        package: The package that it is in, or that it needs.
    """
    spec = find_spec(package)
    if spec is not None and spec.origin is None:
        # A folder of that name, which wandb itself creates, is an empty package for Python.
        folder = next(iter(spec.submodule_search_locations or ()), '')
        return f"the package {package} is not installed ('{folder}' is a folder without code)"
    if spec is None:
        return f'the package {package} is not installed'
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(module)
    except Exception as error:  # of any kind: the package is not ours
        return f'{module} cannot be imported: {type(error).__name__}: {first_line(error)}'
    return None


def check_loggers(opt: dict[str, Any], findings: Findings) -> None:
    """Check ``logger.use_tb_logger`` and ``logger.wandb``.

    Args:
        opt: All options of a training with any model.
        findings: Results are added to it.
    """
    logger = opt.get('logger') or {}
    if 'use_tb_logger' not in logger:
        findings.error('logger.use_tb_logger: missing; expected true or false')
    wandb = logger.get('wandb')
    if wandb is not None and not isinstance(wandb, dict):
        findings.error(f'logger.wandb: {wandb!r}; expected a mapping with the key project')
        return
    if 'debug' in opt['name']:
        return  # BasicSR logs neither then
    project = (wandb or {}).get('project')
    if project is not None and not isinstance(project, str):
        findings.error(f'logger.wandb.project: {project!r}; expected a string or nothing (~)')
    elif project is not None:
        if logger.get('use_tb_logger') is not True:
            findings.error(
                f"logger.wandb.project: '{project}', but logger.use_tb_logger is "
                f'{logger.get("use_tb_logger")}; wandb needs true'
            )
        why = _why_not('wandb', 'wandb')
        if why is not None:
            findings.error(
                f"logger.wandb.project: '{project}', but {why}; pip install wandb, or set it to ~"
            )
    if logger.get('use_tb_logger'):
        why = _why_not('torch.utils.tensorboard', 'tensorboard')
        if why is not None:
            findings.error(
                f'logger.use_tb_logger: true, but {why}; pip install tensorboard, or set it to '
                'false'
            )
