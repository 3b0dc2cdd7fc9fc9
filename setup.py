"""Packaging of mtkd_basicsr."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (ROOT / 'mtkd_basicsr' / '__init__.py').read_text()).group(1)

# The option files live at the top level, where users of BasicSR look for them, and are installed into the package.
OPTIONS = 'mtkd_basicsr.option_files'

# What `mtkd export --format onnx` writes and checks files with.
EXPORT = ['onnx', 'onnxruntime', 'onnxscript']

setup(
    name='mtkd_basicsr',
    version=VERSION,
    description='Multi-teacher knowledge distillation (MTKD) for image super-resolution, as a plug-in for BasicSR',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mtkd_basicsr', 'mtkd_basicsr.*']) + [OPTIONS],
    package_dir={OPTIONS: 'options'},
    package_data={'mtkd_basicsr': ['reference/*.safetensors'], OPTIONS: ['*.yml', '**/*.yml']},
    # BasicSR 1.4.2 does not install on Python 3.13: https://github.com/XPixelGroup/BasicSR/issues/725
    python_requires='>=3.10,<3.13',
    install_requires=[
        'basicsr>=1.4.2',
        'lmdb',
        'matplotlib',
        'numpy',
        'opencv-python',
        'PyWavelets',  # pytorch-wavelets imports it without declaring it
        'pytorch-wavelets>=1.3.0',
        'pyyaml',
        'safetensors',
        'scikit-image',
        'scipy<2',  # BasicSR's metrics import scipy.ndimage.filters, which SciPy 2 removes
        'torch>=2.1',
        'torchvision',
        'tqdm',
    ],
    extras_require={'export': EXPORT, 'spandrel': ['spandrel'], 'test': ['hypothesis', 'pytest', 'pytest-xdist', 'spandrel', *EXPORT]},
    entry_points={'console_scripts': ['mtkd=mtkd_basicsr.cli:main']},
)
