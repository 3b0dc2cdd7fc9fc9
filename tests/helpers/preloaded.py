"""Commands of Python in processes of their own that have torch and other libraries imported.

To import them takes longer than most commands of the tests then do. One process imports them, waits
and forks for each command. The package itself and BasicSR are imported by the command.
"""

import atexit
import functools
import gc
import importlib
import json
import multiprocessing.process
import os
import random
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

# torchvision imports torch._dynamo, which takes most of the time.
_LIBRARIES = 'torchvision', 'scipy.stats', 'cv2', 'lmdb', 'pywt', 'yaml'
# Variables that Python and these libraries read when they start begin so.
_READ_AT_START = (
    *('PYTHON', 'LC_', 'LANG', 'LD_', 'MALLOC_', 'GLIBC_'),
    *('OMP_', 'MKL_', 'KMP_', 'OPENBLAS_', 'OPENCV_', 'ATEN_', 'ONEDNN_', 'DNNL_', 'TORCH'),
)
_TIMEOUT = 600  # seconds
_Ended = tuple[int, str]

# Of all commands. They use what is installed; where nothing can be installed, a variable names the
# folders.
VARIABLES = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.environ.get('TEST_PYTHONPATH', '')}


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(_READ_AT_START)}


class _Server:
    """The process that waits.

    Attributes:
        variables: The variables that it was started with, of those that are read at the start.
    """

    def __init__(self) -> None:
        environment = {**os.environ, **VARIABLES}
        self.variables = _at_start(environment)
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # it is ended with what it has started
            text=True,
        )
        atexit.register(self.end)

    def end(self) -> None:
        atexit.unregister(self.end)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def run(self, command: Sequence[str], cwd: str, environment: Mapping[str, str]) -> _Ended:
        """Run a command in a fork of the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, 'output')
            request = [list(command), cwd, dict(environment), str(output)]
            print(json.dumps(request), file=self.process.stdin, flush=True)
            if not select.select([self.process.stdout], [], [], _TIMEOUT)[0]:
                self.end()
                _server.cache_clear()
                raise subprocess.TimeoutExpired(command, _TIMEOUT)
            status = self.process.stdout.readline()
            assert status, f'the process that waits has ended with {self.process.wait()}'
            return int(status), output.read_text(errors='replace')


@functools.cache
def _server() -> _Server | None:
    """Return the process, or None where a fork could not do what a new process can."""
    is_safe = sys.platform == 'linux' and not torch.cuda.is_available()  # CUDA survives no fork
    return _Server() if is_safe else None


def run(
    command: Sequence[str],
    cwd: str | os.PathLike[str],
    changes: Mapping[str, str],
    fresh: bool = False,
) -> _Ended:
    """Run a command.

    Args:
        command: The program and its arguments.
        cwd: Its working directory.
        changes: Variables of its environment beside those of this process and ``VARIABLES``.
        fresh: Whether the process has to import everything itself.

    Returns:
        Its exit status and what it printed.

    Raises:
        subprocess.TimeoutExpired: It does not end.
    """
    environment = {**os.environ, **VARIABLES, **changes}
    is_plain = not command[1].startswith('-') or command[1] in ('-m', '-c')
    server = _server() if command[0] == sys.executable and is_plain and not fresh else None
    if server is not None and server.variables == _at_start(environment):
        return server.run(command, os.path.abspath(cwd), environment)
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_TIMEOUT,
    )
    return ended.returncode, ended.stdout


def _become(command: list[str], cwd: str, environment: dict[str, str], output: str) -> None:
    """Go on in this process as the command would in a new one."""
    with open(os.devnull) as nothing, open(output, 'ab') as file:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    multiprocessing.process.ORIGINAL_DIR = cwd
    random.seed()
    np.random.seed()
    importlib.invalidate_caches()
    sys.orig_argv = command
    if command[1] == '-m':
        sys.argv = ['-m', *command[3:]]
        sys.path[0] = cwd
        runpy.run_module(command[2], run_name='__main__', alter_sys=True)
    elif command[1] == '-c':
        sys.argv = ['-c', *command[3:]]
        sys.path[0] = ''
        main = sys.modules['__main__'] = types.ModuleType('__main__')
        exec(command[2], vars(main))
    else:
        sys.argv = command[1:]
        sys.path[0] = os.path.dirname(os.path.realpath(command[1]))
        runpy.run_path(command[1], run_name='__main__')


def _serve() -> None:
    """Fork for each line of the standard input, and print the exit status of the command."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    answers = os.fdopen(os.dup(1), 'w')
    for line in iter(sys.stdin.readline, ''):
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            answers.close()
            _become(*request)
            return
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(status, file=answers, flush=True)


if __name__ == '__main__':
    _serve()
