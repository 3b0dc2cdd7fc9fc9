"""Files with the outputs of a teacher that cannot be run here: where they are, not how to read
them.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence


class OutputFiles:
    """Files that are matched to ground truths by their names.

    Args:
        path: A folder, in which a file has the name of its ground truth with one of ``endings``;
            or a pattern with ``{}`` in the place of that name: ``'RCAN/{}_x4_SR.png'``.
        key: Where it stands in the option file, for messages.
        endings: The file extensions that are looked for, in this order, then in capital letters.
    """

    def __init__(self, path: str, key: str, endings: Sequence[str]) -> None:
        self.key = key
        self.path = path
        if '{}' in path:
            self.patterns = [self.path]
            # The folder up to the name: for 'a/b/{}.png' and 'a/b/c_{}.png' alike 'a/b'.
            self.root = os.path.dirname(self.path.partition('{}')[0] + 'x')
        else:
            both = [*endings, *(ending.upper() for ending in endings)]
            self.patterns = [os.path.join(self.path, '{}' + ending) for ending in both]
            self.root = self.path

    def exists(self) -> bool:
        """Return whether the folder exists."""
        return os.path.isdir(self.root)

    def find(self, name: str) -> str | None:
        """Return the path of the file that belongs to an image.

        Args:
            name: Path of the ground truth, or a part of it. A relative one is looked for with its
                folders first, and then without.

        Returns:
            The path; None if there is no such file.
        """
        stem = os.path.splitext(name)[0]
        stems = [os.path.basename(stem)]
        if not os.path.isabs(stem) and stem not in stems:
            stems.insert(0, stem)
        for each in stems:
            for pattern in self.patterns:
                path = pattern.replace('{}', each)
                if os.path.isfile(path):
                    return path
        return None

    def digest(self, names: Iterable[str]) -> str | None:
        """Compute a SHA-256 that tells whether the files of some ground truths have changed.

        It covers the names of the ground truths, and the extensions and sizes in bytes of the
        files that belong to them.

        Args:
            names: As for :meth:`find`.

        Returns:
            Hexadecimal digits; None if the folder is not on this machine.
        """
        if not self.exists():
            return None
        digest = hashlib.sha256()
        for name in names:
            path = self.find(name)
            line = f'{name} -\n'
            if path is not None:
                line = f'{name} {os.path.splitext(path)[1]} {os.path.getsize(path)}\n'
            digest.update(line.encode('utf-8', 'surrogateescape'))
        return digest.hexdigest()
