"""What BasicSR's own ``train.py`` and ``test.py`` are given while they run, in this process only."""

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import __version__
from .resume import load_resume_state


def folder_of(module: ModuleType) -> str:
    """Return the folder that a module, or a package, was imported from."""
    return os.path.dirname(os.path.abspath(module.__file__))


def script_name(module: ModuleType | None) -> str | None:
    """Return ``'train.py'`` or ``'test.py'`` if the module is that script of BasicSR.

    Args:
        module: ``basicsr.train``, ``basicsr.test``, ``__main__``, or any other module.

    Returns:
        The name of the script; None for any other module.
    """
    folder, name = os.path.split(os.path.abspath(getattr(module, '__file__', None) or ''))
    is_script = os.path.basename(folder) == 'basicsr' and name in ('train.py', 'test.py')
    return name if is_script else None


def version_lines(script: ModuleType | None = None) -> list[str]:
    """Say which BasicSR and which mtkd_basicsr are running, and from where.

    Args:
        script: The module of the script that was started; where it lies in another tree than
            the BasicSR that was imported, a line says so.

    Returns:
        Lines for the log.
    """
    import basicsr

    used = folder_of(basicsr)
    lines = [
        f'BasicSR: {basicsr.__version__} from {used}',
        f'mtkd_basicsr: {__version__} from {os.path.dirname(os.path.abspath(__file__))}',
    ]
    if script is not None and not os.path.samefile(folder_of(script), used):
        # Python puts the folder of the script on its path, not the one above, which `import
        # basicsr` would need.
        lines.append(
            f'Note: the script is {script.__file__}, but the BasicSR that runs is the installed '
            'one; for the code of '
            'that folder, set PYTHONPATH=. or install it (pip install -e .)'
        )
    return lines


def check_options(opt: dict, is_train: bool) -> None:
    """Refuse, before BasicSR makes a folder, what would end its script in an error that names no
    option key.

    Models of ours are looked at as ``mtkd train`` does at first; of those of others only the
    folders of images.

    Args:
        opt: Options as parsed by BasicSR.
        is_train: For ``train.py``; else for ``test.py``.

    Raises:
        MTKDError: everything that was found.
    """
    # The checks import the commands, which import this file.
    from .checks.fast import STAGES, check_datasets, check_folders, refuse
    from .checks.findings import Findings
    from .options import structure_errors

    findings = Findings()
    if opt.get('model_type') in STAGES:
        for text in structure_errors(opt, is_train):
            findings.error(text)
        findings.raise_errors()
        if is_train:
            refuse(opt)
        else:
            check_datasets(opt, findings)
    else:
        check_folders(opt, findings)
    findings.raise_errors()


def _checked(function: Callable, is_train: bool) -> Callable:
    def checked(opt: dict) -> Any:
        check_options(opt, is_train)
        return function(opt)

    checked.is_checked = True
    return checked


def repair(script: ModuleType | None) -> None:
    """Make a script of BasicSR resume without CUDA, name wrong option keys, and log what is
    running.

    ``load_resume_state`` asks for the current CUDA device, whatever ``num_gpu`` says
    (https://github.com/XPixelGroup/BasicSR/issues/679), takes the newest state even if its writer
    was killed, and executes what is in it. A folder that is not there ends in a bare
    ``FileNotFoundError`` of ``os.scandir``.

    Args:
        script: The module of the script, ``basicsr.train`` or ``basicsr.test`` or ``__main__``.
            Any other module is left alone. Harmless when done twice.
    """
    name = script_name(script)
    if name is None:
        return
    if name == 'train.py':
        # The first function that the script calls with its options.
        script.load_resume_state = _checked(load_resume_state, is_train=True)
    elif not getattr(script.make_exp_dirs, 'is_checked', False):
        script.make_exp_dirs = _checked(script.make_exp_dirs, is_train=False)
    if not getattr(script.get_env_info, 'is_checked', False):
        original = script.get_env_info

        def get_env_info() -> str:
            return '\n\t'.join([original(), *version_lines(script)])

        get_env_info.is_checked = True
        script.get_env_info = get_env_info


def repair_running_script() -> None:
    """Do so for the script that this process was started with."""
    repair(sys.modules.get('__main__'))
