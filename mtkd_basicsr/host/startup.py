"""Stand-ins for modules that BasicSR imports and that may be missing, and texts that it opens.

This file imports only the standard library, and little of it: it runs whenever Python starts.

``python basicsr/train.py`` imports BasicSR before it reads the option file that names this package,
which is too late for a repair. A line in ``mtkd_basicsr.pth``, installed beside the package,
therefore runs :func:`install` whenever Python starts. ``import mtkd_basicsr`` does the same, for a
source tree on ``PYTHONPATH``.

The finder of stand-ins is the last one in ``sys.meta_path``: it is asked only for modules that no
other finder has found. It never affects a module that exists, or any other name. The finder of the
modules that open texts is the first one, and finds these alone. No file of BasicSR or torchvision
is changed.
"""

import codecs
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import IO, Any

# Set in the environment of workers that only read and write images, whichever script started them.
WORKER_WITHOUT_TORCH = 'MTKD_WORKER_WITHOUT_TORCH'


def _fill_functional_tensor(module: ModuleType) -> None:
    # torchvision 0.17 renamed this module; BasicSR 1.4.2 imports rgb_to_grayscale from the old
    # name, so that `import basicsr` fails. https://github.com/XPixelGroup/BasicSR/issues/663; fixed
    # on its master (8d56e3a), but never released.
    try:
        from torchvision.transforms import _functional_tensor as source
    except ImportError:
        from torchvision.transforms import functional as source
    module.__dict__.update(
        {name: value for name, value in vars(source).items() if not name.startswith('__')}
    )


def _fill_filters(module: ModuleType) -> None:
    # SciPy 2 removes this alias of scipy.ndimage, from which BasicSR's NIQE imports convolve.
    from scipy import ndimage

    module.__dict__.update({name: getattr(ndimage, name) for name in ndimage.__all__})


def _fill_version(module: ModuleType) -> None:
    # BasicSR's setup.py writes basicsr/version.py; a clone that was never installed lacks it, and
    # cannot be imported.
    folder = module.__spec__.folder  # type: ignore[union-attr]  # which `find_spec` has set
    try:
        with open(os.path.join(os.path.dirname(folder), 'VERSION'), encoding='utf-8') as file:
            version = file.read().strip()
    except OSError:
        version = 'unknown'
    parts = re.split(r'[.+-]', version)
    module.__dict__.update(
        __version__=version,
        __gitsha__='unknown',
        version_info=tuple(int(part) if part.isdigit() else part for part in parts),
    )


_STAND_INS: dict[str, Callable[[ModuleType], None]] = {
    'torchvision.transforms.functional_tensor': _fill_functional_tensor,
    'scipy.ndimage.filters': _fill_filters,
    'basicsr.version': _fill_version,
}


class StandInFinder:
    """Finder and loader of the modules in ``_STAND_INS``."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a stand-in, None for every other name."""
        if name not in _STAND_INS:
            return None
        spec = ModuleSpec(
            name,
            cls,  # type: ignore[arg-type]  # a class, with the methods of a loader
            origin=f'stand-in of {__name__}',
        )
        spec.folder = next(iter(path or ()), '')  # type: ignore[attr-defined]
        return spec

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave the creation of the module to Python."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill the module."""
        _STAND_INS[module.__spec__.name](module)  # type: ignore[union-attr]


# The modules of BasicSR that open option files, and lists of names, in the encoding of the locale.
TEXT_MODULES = (
    'basicsr.data.data_util',
    'basicsr.data.single_image_dataset',
    'basicsr.utils.lmdb_util',
    'basicsr.utils.options',
)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_of(content: bytes) -> str | None:
    """Return the encoding of a text: UTF-8, with or without its mark; None if it is another."""
    if content.startswith(_UTF_16):
        raise ValueError('it is a text in UTF-16; save it in UTF-8')
    try:
        content.decode('utf-8')
    except UnicodeDecodeError:
        return None
    return 'utf-8-sig' if content.startswith(codecs.BOM_UTF8) else 'utf-8'


def open_text(path: str | os.PathLike[str], mode: str = 'r', **keywords: Any) -> IO[Any]:
    """Open a file as BasicSR means it: in UTF-8, whatever the locale is.

    Files in the encoding of the locale, which BasicSR could read before, are still read so.

    Args:
        path: The file.
        mode: As for ``open``.
        **keywords: Further arguments of ``open``.

    Raises:
        OSError: The file cannot be opened.
        ValueError: The file is in UTF-16.
    """
    encoding = keywords.pop('encoding', None)
    if 'b' in mode or encoding is not None:
        return open(path, mode, encoding=encoding, **keywords)
    encoding = 'utf-8'
    if mode.startswith('r'):
        with open(path, 'rb') as file:
            content = file.read()
        try:
            encoding = encoding_of(content)
        except ValueError as error:
            raise ValueError(f"'{path}': {error}") from None
    if '+' in mode:
        # BasicSR writes the command line into its copy of the option file, whose names of files may
        # be in another encoding.
        keywords['errors'] = 'surrogateescape'
    return open(path, mode, encoding=encoding, **keywords)


class TextFinder:
    """Finder of ``TEXT_MODULES``, in which it puts :func:`open_text` for ``open``.

    BasicSR opens its option files in the encoding of the locale, which on Windows is not UTF-8.
    """

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that opens texts, None for every other name."""
        if name not in TEXT_MODULES:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            module.__dict__['open'] = open_text
            execute(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Put both finders into ``sys.meta_path``.

    Calling it twice is harmless, even from two copies of this file.
    """
    names = [getattr(finder, '__name__', '') for finder in sys.meta_path]
    if StandInFinder.__name__ not in names:
        sys.meta_path.append(StandInFinder)
    if TextFinder.__name__ not in names:
        sys.meta_path.insert(0, TextFinder)


def _is_our_script(path: str) -> bool:
    # Another program may have that name. The script that pip writes contains our entry point; an
    # .exe has it after its machine code.
    try:
        with open(path, 'rb') as file:
            return b'mtkd_basicsr.commands.cli' in file.read()
    except OSError:  # on Windows the path lacks its extension
        return True


def is_our_command() -> bool:
    """Return whether this process is the command ``mtkd``, or a worker of it.

    ``python -m mtkd_basicsr`` is the same command. Such a process imports torch and BasicSR only
    when it needs them. The workers of a command receive its arguments from multiprocessing, before
    they import anything. Workers of a function that a script calls import the script again; a
    variable tells them.
    """
    if WORKER_WITHOUT_TORCH in os.environ:
        return True
    arguments = getattr(sys, 'argv', None) or ['']
    folder, name = os.path.split(arguments[0])
    if name in ('mtkd', 'mtkd.exe', 'mtkd-script.py', 'mtkd-script.pyw'):
        return _is_our_script(arguments[0])
    if name == '__main__.py':
        return os.path.basename(folder) == 'mtkd_basicsr'
    # `python -m mtkd_basicsr` imports the package before it puts the path of __main__.py here.
    if name != '-m' or '-m' not in sys.orig_argv:
        return False
    module = sys.orig_argv[sys.orig_argv.index('-m') + 1]
    return module == 'mtkd_basicsr'
