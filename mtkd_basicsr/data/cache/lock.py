"""Inter-process lock: only one job may write a cache."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

from ...errors import CacheError
from ...host.api import get_root_logger

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Locked bytes of the file: a short-term mutex between processes, and the long-term lock of a job.
_MUTEX_BYTE = 0
_JOB_BYTE = 1
# Errors of file systems without locks.
_NO_LOCKS = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP


def lock_path(path: str | os.PathLike[str]) -> str:
    """Return the path of the lock file of a cache."""
    return f'{os.path.realpath(path)}.lock'


def _job_id(environment: Mapping[str, str]) -> list[str | None] | None:
    """Return an identifier shared by the processes of one torchrun; None for a single process."""
    keys = 'TORCHELASTIC_RUN_ID', 'MASTER_ADDR', 'MASTER_PORT', 'WORLD_SIZE'
    if int(environment.get('WORLD_SIZE', 1)) > 1:
        return [environment.get(key) for key in keys]
    return None


class CacheLock:
    """A lock file that the processes of one torchrun share.

    The operating system releases the lock when the processes end for any reason.

    The locks are POSIX record locks, because worker processes that decode images would inherit
    locks of ``flock`` and keep the cache locked for some seconds after a kill.

    Args:
        path: The lock file. The last process that releases the lock removes it.
        cache: Path of the cache, for messages.

    Raises:
        CacheError: Another process or job is writing the cache.
        OSError: The lock file cannot be written.
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
            self._acquire(file, _job_id(os.environ))
        except BaseException:
            file.close()
            raise
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _MUTEX_BYTE)
        self._file = file

    def _warn(self, reason: str) -> None:
        get_root_logger().warning(
            f"'{self.cache}' is written without a lock ({reason}): make sure that no other process "
            'writes it'
        )

    def _open(self) -> TextIO:
        """Open the lock file and take its mutex."""
        while True:
            file = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), 'r+', encoding='utf-8'
            )
            fcntl.lockf(file, fcntl.LOCK_EX, 1, _MUTEX_BYTE)
            # The previous holder may have removed it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                    return file
            file.close()

    def _acquire(self, file: TextIO, job: list[str | None] | None) -> None:
        """Take the lock of a job, or share it with other processes of the same job."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _JOB_BYTE)
        except (BlockingIOError, PermissionError):
            holder = json.loads(file.read())
            if job is None or holder['job'] != job:
                raise CacheError(
                    f"'{self.cache}' is written by process {holder['pid']} on {holder['host']} "
                    f"since {holder['since']} (it holds '{self.path}'): wait for it, or stop it"
                ) from None
        else:
            file.truncate(0)
            holder = {
                'job': job,
                'pid': os.getpid(),
                'host': socket.gethostname(),
                'since': time.strftime('%Y-%m-%d %H:%M:%S'),
            }
            file.write(json.dumps(holder))
            file.flush()
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _JOB_BYTE)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes of the job from writing, joining or leaving in this context."""
        if self._file is None:
            yield
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _MUTEX_BYTE)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _MUTEX_BYTE)

    def _is_last(self) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _JOB_BYTE)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def releasing(self) -> Iterator[bool]:
        """Release the lock at the end of this context.

        Yields:
            Whether this is the last process of the job; False if unknown.
        """
        if self._file is None:
            yield False
            return
        try:
            with self.exclusive():
                last = self._is_last()
                yield last
                if last:
                    os.remove(self.path)
        finally:
            self._file.close()
            self._file = None
