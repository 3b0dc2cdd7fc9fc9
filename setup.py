"""Packaging of mtkd_basicsr."""

import re
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

from setuptools import Distribution, find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r"__version__ = '([^']+)'", (ROOT / 'mtkd_basicsr' / 'utils' / 'version.py').read_text()
).group(1)

# The option files live at the top level, where users of BasicSR look for them, and are installed
# into the package.
OPTIONS = 'mtkd_basicsr.option_files'

# BasicSR 1.4.2 does not install on Python 3.13 (https://github.com/XPixelGroup/BasicSR/issues/725,
# 749). new-basicsr is a pure wheel whose package `basicsr` equals BasicSR's master (8d56e3a).
NEW_BASICSR = 'new-basicsr==1.0.0'
BASICSR = ["basicsr>=1.4.2; python_version < '3.13'", f"{NEW_BASICSR}; python_version >= '3.13'"]

# Where pip installs into, also while it builds this package in an isolated environment; Debian's
# pip, outside of virtual environments, lies in a folder of its own.
SCHEMES = {sysconfig.get_default_scheme(), 'deb_system'} & set(sysconfig.get_scheme_names())
SITE = sorted({sysconfig.get_path(lib, name) for name in SCHEMES for lib in ('purelib', 'platlib')})


def installed(name):
    """Return the installed distribution of this name, None without one."""
    return next(iter(distributions(name=name, path=SITE)), None)


def installed_basicsr():
    """Return the name of the distribution that provides the package `basicsr`, None without one."""
    for distribution in distributions(path=SITE):
        if 'basicsr' in (distribution.read_text('top_level.txt') or '').split():
            return distribution.metadata['Name']
    return None


def basicsr_builds():
    """Return whether pip can build BasicSR 1.4.2.

    pip before 23.1, and pip before 25.3 beside the package wheel, runs BasicSR's `setup.py` in
    place. Without PyTorch, an old setuptools then fetches one of its own for that and stops at two
    packages of CUDA that require different versions of a third.
    """
    pip = installed('pip')
    if pip is None or installed('setuptools') is None or installed('torch') is not None:
        return True
    version = tuple(int(number) for number in re.findall(r'\d+', pip.version)[:2])
    return version >= ((23, 1) if installed('wheel') is None else (25, 3))


def basicsr_requirements():
    """Return what to require of BasicSR.

    Whoever has a BasicSR of their own keeps it: a fork under another name, or on Python 3.13 a
    checkout, would be overwritten or hidden by the one that is required otherwise.
    """
    name = installed_basicsr()
    usual = 'basicsr' if sys.version_info < (3, 13) else 'new-basicsr'
    if name not in (None, usual):
        return [name]
    if name is None and not basicsr_builds():
        return [NEW_BASICSR]
    return BASICSR


# Pinned: another version finds, and formats, other things.
LINT = ['mypy==2.4.1', 'ruff==0.17.6', 'types-PyYAML==6.0.12.20261122']

# What `mtkd export --format onnx` writes and checks files with.
EXPORT = ['onnx', 'onnxruntime', 'onnxscript']


class _Distribution(Distribution):
    # An editable install asks for `has_data` before it installs data files; setuptools calls it
    # `has_data_files`.
    def has_data(self):
        return self.has_data_files()


setup(
    name='mtkd_basicsr',
    distclass=_Distribution,
    version=VERSION,
    description='Multi-teacher knowledge distillation (MTKD) for image super-resolution, as a '
    'plug-in for BasicSR',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mtkd_basicsr', 'mtkd_basicsr.*']) + [OPTIONS],
    package_dir={OPTIONS: 'options'},
    package_data={
        'mtkd_basicsr': ['py.typed', 'reference/*.json', 'reference/*.safetensors'],
        OPTIONS: ['*.yml', '**/*.yml'],
    },
    python_requires='>=3.10',
    install_requires=[
        *basicsr_requirements(),
        'lmdb',
        'matplotlib',
        'numpy',
        'opencv-python',
        'Pillow',
        'PyWavelets',  # pytorch-wavelets imports it without declaring it
        'pytorch-wavelets>=1.3.0',
        'pyyaml',
        'safetensors',
        'scikit-image',
        'scipy',
        'torch>=2.1',
        'torchvision',
        'tqdm',
    ],
    extras_require={
        'lint': LINT,
        'export': EXPORT,
        'spandrel': ['spandrel'],
        'test': ['hypothesis', 'pytest', 'pytest-xdist>=3.7', 'spandrel', *EXPORT],
    },
    # `../purelib` is site-packages, in a wheel as in an editable install; see
    # mtkd_basicsr/host/startup.py.
    data_files=[('../purelib', ['mtkd_basicsr/mtkd_basicsr.pth'])],
    entry_points={'console_scripts': ['mtkd=mtkd_basicsr.commands.cli:main']},
)
