"""One open environment for each LMDB of a process, however many data sets read it.

lmdb >= 2 refuses to open a file that is open in the same process, and BasicSR's backend opens each
path anew: for a validation on the images of the training, for two test sets with the same low
resolution, and for ground truth and input in one LMDB.
"""

import os
import weakref
from typing import Any

import lmdb
from basicsr.utils import file_client

# Device and inode of a data file -> its open environment, for as long as a data set uses it.
_environments: 'weakref.WeakValueDictionary[tuple[int, int], lmdb.Environment]'
_environments = weakref.WeakValueDictionary()
# Process that opened them. An environment must not be used after a fork.
_owner = os.getpid()


def _file_of(path: str) -> tuple[int, int] | None:
    """Return device and inode of the data file of an LMDB; None if there is none."""
    data = os.path.join(path, 'data.mdb') if os.path.isdir(path) else path
    try:
        status = os.stat(data)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _forget_those_of_the_parent() -> None:
    """Close the environments that a forked process has inherited, so that it can open its own."""
    global _owner
    if _owner == os.getpid():
        return
    for environment in list(_environments.values()):
        environment.close()
    _environments.clear()
    _owner = os.getpid()


def open_environment(path: str, **options: Any) -> lmdb.Environment:
    """Open an LMDB that is only read, or return its open environment.

    Args:
        path: The LMDB, a folder.
        **options: Arguments of ``lmdb.open``, which count for the first call only.

    Raises:
        lmdb.Error: It cannot be opened.
    """
    _forget_those_of_the_parent()
    file = _file_of(path)
    found = None if file is None else _environments.get(file)
    if found is None:
        found = lmdb.open(path, **options)
        if file is not None:
            _environments[file] = found
    return found


class SharingLmdbBackend(file_client.LmdbBackend):
    """BasicSR's backend for LMDBs, with environments that several data sets share.

    Args:
        db_paths: One path or several.
        client_keys: One name for each path.
        readonly: Whether nothing is written; otherwise the environments are not shared.
        lock: See ``lmdb.open``.
        readahead: See ``lmdb.open``.
        **kwargs: Further arguments of ``lmdb.open``.
    """

    def __init__(
        self,
        db_paths: str | list[str],
        client_keys: str | list[str] = 'default',
        readonly: bool = True,
        lock: bool = False,
        readahead: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {**kwargs, 'readonly': readonly, 'lock': lock, 'readahead': readahead}
        if not readonly:
            super().__init__(db_paths, client_keys, **options)
            return
        paths = db_paths if isinstance(db_paths, list) else [db_paths]
        names = client_keys if isinstance(client_keys, list) else [client_keys]
        # BasicSR's constructor compares the lengths, and opens nothing without paths.
        super().__init__([], [])
        if len(paths) != len(names):
            raise ValueError(f'{len(paths)} LMDBs with {len(names)} names; expected as many')
        self.db_paths = [str(path) for path in paths]
        for name, path in zip(names, self.db_paths, strict=True):
            self._client[name] = open_environment(path, **options)


def install() -> None:
    """Make BasicSR's data sets share the environments of LMDBs."""
    file_client.FileClient._backends['lmdb'] = SharingLmdbBackend
