"""Repairs of BasicSR's own ``train.py`` and ``test.py``, in the process that runs them."""

import contextlib
import importlib
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeAlias, cast

import basicsr
from basicsr.utils import set_random_seed
from basicsr.utils.logger import initialized_logger

from ..utils.version import __version__
from .resume import load_resume_state
from .training_loop import MessageLogger, with_enough_epochs, with_prepared_loader

# Gets the options, and whether they are for a training; raises if they are wrong.
Check: TypeAlias = Callable[[dict[str, Any], bool], None]


def folder_of(module: ModuleType) -> str:
    """Return the folder that a module, or a package, was imported from."""
    # Modules can lack a file; these have one.
    return os.path.dirname(os.path.abspath(cast(str, module.__file__)))


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
    """Describe which BasicSR and which mtkd_basicsr are running, and from where.

    Args:
        script: The module of the script that was started; if it is in another tree than the
            BasicSR that was imported, a line says so.

    Returns:
        Lines for the log.
    """
    used = folder_of(basicsr)
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    lines = [
        f'BasicSR: {basicsr.__version__} from {used}',
        f'mtkd_basicsr: {__version__} from {ours}',
    ]
    if script is not None and not os.path.samefile(folder_of(script), used):
        # Python puts the folder of the script on its path, not the one above, which `import
        # basicsr` would need.
        lines.append(
            f'Note: the script is {script.__file__}, but the installed BasicSR is used; to run '
            'the code of that folder, set PYTHONPATH=. or install it (pip install -e .)'
        )
    return lines


def _seed_as_overridden(opt: dict[str, Any]) -> None:
    """Seed with ``--force_yml manual_seed=N``: BasicSR seeds before it reads what overrides."""
    if any(re.match(r'\s*manual_seed\s*=', argument) for argument in sys.argv[1:]):
        seed = opt['manual_seed']
        if isinstance(seed, int):
            set_random_seed(seed + opt['rank'])


def _checked(
    function: Callable[[dict[str, Any]], Any], check: Check, is_train: bool
) -> Callable[[dict[str, Any]], Any]:
    def checked(opt: dict[str, Any]) -> Any:
        _seed_as_overridden(opt)
        check(opt, is_train)
        return function(opt)

    checked.is_checked = True  # type: ignore[attr-defined]
    return checked


def _logging_in_utf8(function: Callable[..., logging.Logger]) -> Callable[..., logging.Logger]:
    """Let BasicSR's log files be in UTF-8; they are in the encoding of the locale otherwise."""

    def get_root_logger(*args: Any, **kwargs: Any) -> logging.Logger:
        logger = function(*args, **kwargs)
        for handler in logger.handlers:
            stream: Any = getattr(handler, 'stream', None)
            if isinstance(handler, logging.FileHandler) and hasattr(stream, 'reconfigure'):
                stream.reconfigure(encoding='utf-8', errors='backslashreplace')
        return logger

    get_root_logger.is_checked = True  # type: ignore[attr-defined]
    return get_root_logger


def _unless_it_is_there(function: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Let BasicSR copy an option file into the experiment unless it is the copy itself."""

    def copy_opt_file(opt_file: str, experiments_root: str) -> None:
        copy = os.path.join(experiments_root, os.path.basename(opt_file))
        if not (os.path.exists(copy) and os.path.samefile(opt_file, copy)):
            function(opt_file, experiments_root)

    copy_opt_file.is_checked = True  # type: ignore[attr-defined]
    return copy_opt_file


def _with_run_ids(function: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Let BasicSR name a run of wandb, whose newer releases have the function in another place."""

    def init_wandb_logger(opt: dict[str, Any]) -> None:
        if opt['rank'] == 0:
            # An optional package.
            util: Any = importlib.import_module('wandb.util')
            if not hasattr(util, 'generate_id'):
                util.generate_id = importlib.import_module('wandb.sdk.lib.runid').generate_id
        function(opt)

    init_wandb_logger.is_checked = True  # type: ignore[attr-defined]
    return init_wandb_logger


def _replace(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a function of a script once, if the script has it."""
    function = getattr(module, name, None)
    if function is not None and not getattr(function, 'is_checked', False):
        setattr(module, name, wrap(function))


def repair(script: ModuleType | None, check: Check) -> None:
    """Repair a script of BasicSR.

    It then resumes without CUDA, trains for all iterations, prefetches reliably, reports wrong
    option keys, and logs versions.

    BasicSR's ``load_resume_state`` uses the current CUDA device, whatever ``num_gpu`` says
    (https://github.com/XPixelGroup/BasicSR/issues/679), takes the newest state even if its writer
    was killed, and executes code in it. A missing folder of images ends in a bare
    ``FileNotFoundError`` of ``os.scandir``.

    Args:
        script: The module of the script, ``basicsr.train`` or ``basicsr.test`` or ``__main__``.
            Any other module is left alone. Repairing it twice is harmless.
        check: Gets the options, and whether they are for a training; raises if they are wrong.
    """
    name = script_name(script)
    if name is None:
        return
    # Not at the head: the plug-in may be imported before BasicSR's datasets.
    from . import prefetching

    prefetching.apply()
    module: Any = script  # whose functions are replaced
    if name == 'train.py':
        # The first function that the script calls with its options.
        module.load_resume_state = _checked(load_resume_state, check, is_train=True)
        _replace(module, 'init_wandb_logger', _with_run_ids)
        _replace(module, 'copy_opt_file', _unless_it_is_there)
        _replace(module, 'CPUPrefetcher', lambda _: prefetching.CPUPrefetcher)
        if getattr(module, 'MessageLogger', MessageLogger) is not MessageLogger:
            module.MessageLogger = MessageLogger
            _replace(
                module,
                'create_train_val_dataloader',
                lambda create: with_prepared_loader(with_enough_epochs(create)),
            )
    elif not getattr(module.make_exp_dirs, 'is_checked', False):
        module.make_exp_dirs = _checked(module.make_exp_dirs, check, is_train=False)
    _replace(module, 'get_root_logger', _logging_in_utf8)
    if not getattr(module.get_env_info, 'is_checked', False):
        original = module.get_env_info

        def get_env_info() -> str:
            return '\n\t'.join([original(), *version_lines(script)])

        get_env_info.is_checked = True  # type: ignore[attr-defined]
        module.get_env_info = get_env_info


def repair_running_script(check: Check) -> None:
    """Repair the script that this process was started with; see :func:`repair`."""
    repair(sys.modules.get('__main__'), check)


def _forget_logger() -> None:
    """Close BasicSR's logger, so that the next loop makes another one."""
    if initialized_logger.pop('basicsr', None) is None:
        return
    logger = logging.getLogger('basicsr')
    for handler in list(logger.handlers):
        if type(handler) in (logging.StreamHandler, logging.FileHandler):  # not somebody's own
            logger.removeHandler(handler)
            handler.close()


class _LastLoop:
    """When the last loop of this process ended, in seconds of the clock."""

    ended = -math.inf


@contextlib.contextmanager
def _own_logger() -> Iterator[None]:
    """Let BasicSR make a new logger inside, with a log file of its own.

    BasicSR keeps the logger of the loop that ran before in this process, whose file is another
    one. It names log files by the second and replaces one of the same name.
    """
    _forget_logger()
    time.sleep(max(0.0, _LastLoop.ended + 1 - time.time()))
    try:
        yield
    finally:
        _forget_logger()
        _LastLoop.ended = time.time()


def train_pipeline(root: str, check: Check) -> None:
    """Run BasicSR's training loop with the options of ``sys.argv``.

    Args:
        root: The folder that experiments/ and tb_logger/ go into.
        check: See :func:`repair`.
    """
    # Not at the head: a script that is running would be imported a second time.
    import basicsr.train

    repair(basicsr.train, check)
    with _own_logger():
        basicsr.train.train_pipeline(root)


def test_pipeline(root: str, check: Check) -> None:
    """Run BasicSR's test loop with the options of ``sys.argv``.

    Args:
        root: The folder that results/ goes into.
        check: See :func:`repair`.
    """
    import basicsr.test

    repair(basicsr.test, check)
    with _own_logger():
        basicsr.test.test_pipeline(root)
