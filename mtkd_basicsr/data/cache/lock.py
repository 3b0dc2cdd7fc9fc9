"""A lock, so that a cache is written by one job alone."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

from basicsr.utils import get_root_logger

from ...errors import CacheError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Bytes of the file: who is at it for a moment (comes, writes, goes), and that a job writes the
# cache.
_GATE = 0
_JOB = 1
_NO_LOCKS = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP


def _job(environment: Mapping[str, str]) -> list[str | None] | None:
    """Return what the processes of one torchrun have in common; None if a process works alone."""
    keys = 'TORCHELASTIC_RUN_ID', 'MASTER_ADDR', 'MASTER_PORT', 'WORLD_SIZE'
    if int(environment.get('WORLD_SIZE', 1)) > 1:
        return [environment.get(key) for key in keys]
    return None


class CacheLock:
    """A lock file that the processes of one torchrun share.

    The system gives it back when they end, however they end.

    These are POSIX record locks, not those of ``flock``: a worker process that decodes images would
    inherit the latter, and keep the cache locked for some seconds after a kill.

    Args:
        path: The lock file. It is removed by the last process that leaves in order.
        cache: What is written, for messages.

    Raises:
        CacheError: another process or job writes the cache.
        OSError: the file cannot be written.
    """

    def __init__(self, path: str, cache: str) -> None:
        self.path = path
        self.cache = cache
        self._file: TextIO | None = None
        if fcntl is None:
            self._warn('this system has no record locks')
            return
        try:
            file = self._open()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._warn(f'the file system: {error.strerror}')
            os.remove(path)
            return
        try:
            self._take(file, _job(os.environ))
        except BaseException:
            file.close()
            raise
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _GATE)
        self._file = file

    def _warn(self, reason: str) -> None:
        get_root_logger().warning(
            f"'{self.cache}' is written without a lock ({reason}): take care that no other process "
            'writes it'
        )

    def _open(self) -> TextIO:
        """Open the lock file, with its gate closed to others."""
        while True:
            file = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), 'r+', encoding='utf-8'
            )
            fcntl.lockf(file, fcntl.LOCK_EX, 1, _GATE)
            # Whoever had it before may have removed it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                    return file
            file.close()

    def _take(self, file: TextIO, job: list[str | None] | None) -> None:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _JOB)
        except (BlockingIOError, PermissionError):
            holder = json.loads(file.read())
            if job is None or holder['job'] != job:
                raise CacheError(
                    f"'{self.cache}' is written by process {holder['pid']} on {holder['host']} "
                    f'since {holder["since"]} '
                    f"(it holds '{self.path}'): wait for it, or stop it"
                ) from None
        else:
            file.truncate(0)
            file.write(
                json.dumps(
                    {
                        'job': job,
                        'pid': os.getpid(),
                        'host': socket.gethostname(),
                        'since': time.strftime('%Y-%m-%d %H:%M:%S'),
                    }
                )
            )
            file.flush()
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _JOB)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of the job from writing, coming or going in this context."""
        if self._file is None:
            yield
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _GATE)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _GATE)

    def _is_last(self) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _JOB)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def leaving(self) -> Iterator[bool]:
        """Give the lock back after what is done in this context.

        Yields:
            Whether no other process of the job is left; False where that cannot be known.
        """
        if self._file is None:
            yield False
            return
        try:
            with self.alone():
                last = self._is_last()
                yield last
                if last:
                    os.remove(self.path)
        finally:
            self._file.close()
            self._file = None
