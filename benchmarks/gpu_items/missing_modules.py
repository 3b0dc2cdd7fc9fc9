"""Stand-ins for modules that basicsr imports and a new machine may not have.

``scipy.ndimage.filters`` (SciPy 2), ``distutils.version.LooseVersion`` (Python 3.12 without
setuptools). Each is put in place only if the import fails. The package repairs
``torchvision.transforms.functional_tensor`` itself.
"""

import importlib
import os
import sys
import types
from pathlib import Path

# A child process imports this file by its path.
_SITECUSTOMIZE = """import importlib.util
spec = importlib.util.spec_from_file_location('missing_modules', {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.provide()
"""


def _missing(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return True
    return False


def provide():
    """Put stand-ins in place of what is missing."""
    if _missing('scipy.ndimage.filters'):
        import scipy.ndimage

        sys.modules['scipy.ndimage.filters'] = scipy.ndimage
    if _missing('distutils.version'):
        from packaging.version import Version

        version = types.ModuleType('distutils.version')
        version.LooseVersion = Version
        distutils = types.ModuleType('distutils')
        distutils.version = version
        sys.modules.update({'distutils': distutils, 'distutils.version': version})


def path_for_children(out):
    """Write a ``sitecustomize.py`` that does the same in child processes.

    Args:
        out (Path): A folder for it.

    Returns:
        str: A PYTHONPATH with that folder and the package in front.
    """
    folder = Path(out) / 'site'
    folder.mkdir(exist_ok=True)
    text = _SITECUSTOMIZE.format(path=str(Path(__file__).resolve()))
    (folder / 'sitecustomize.py').write_text(text, encoding='utf-8')
    root = Path(__file__).resolve().parents[2]
    old = os.environ.get('PYTHONPATH')
    return os.pathsep.join([str(folder), str(root), *([old] if old else [])])
