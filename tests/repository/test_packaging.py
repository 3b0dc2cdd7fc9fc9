import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

import mtkd_basicsr
from mtkd_basicsr.utils.resources import option_file

REFERENCE = ROOT / 'mtkd_basicsr' / 'reference'


@pytest.mark.slow
def test_a_wheel_carries_all_that_the_commands_need(tmp_path):
    source = tmp_path / 'source'
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(
            '.git', '*.egg-info', 'build', '__pycache__', 'tests', 'experiments'
        ),
    )
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', str(tmp_path), str(source)],
        check=True,
    )
    (wheel,) = tmp_path.glob('mtkd_basicsr-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith('METADATA'))).decode()
    ours = {
        f'mtkd_basicsr/{p.relative_to(ROOT / "mtkd_basicsr")}'
        for p in (ROOT / 'mtkd_basicsr').rglob('*.py')
    }
    options = {
        f'mtkd_basicsr/option_files/{p.relative_to(ROOT / "options")}'
        for p in (ROOT / 'options').rglob('*.yml')
    }
    assert ours <= names, ours - names
    models = {f'mtkd_basicsr/reference/{path.name}' for path in REFERENCE.iterdir()}
    assert 'mtkd_basicsr/reference/students.json' in models
    assert models <= names, models - names
    assert options, options - names
    assert options <= names, options - names
    python = next(line for line in metadata.splitlines() if line.startswith('Requires-Python'))
    assert '>=3.10' in python
    assert '<' not in python
    assert f'mtkd_basicsr-{mtkd_basicsr.__version__}.data/purelib/mtkd_basicsr.pth' in names
    for requirement in (
        'basicsr>=1.4.2; python_version < "3.13"',
        'new-basicsr==1.0.0; python_version >= "3.13"',
    ):
        assert f'Requires-Dist: {requirement}' in metadata, requirement
    for package in (
        'torch',
        'torchvision',
        'pytorch-wavelets',
        'PyWavelets',
        'opencv-python',
        'lmdb',
        'pyyaml',
    ):
        assert f'Requires-Dist: {package}' in metadata, package
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        for extra in ('export', 'test'):
            assert re.search(rf'Requires-Dist: {package} *; extra == .{extra}.', metadata), (
                package,
                extra,
            )


@pytest.mark.slow
def test_an_sdist_carries_the_reference_models(tmp_path):
    # What setuptools collects depends neither on the tests nor on the documentation.
    for name in ('mtkd_basicsr', 'options'):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, tmp_path)
    build = 'from setuptools import build_meta; build_meta.build_sdist("dist")'
    subprocess.run([sys.executable, '-c', build], cwd=tmp_path, check=True, capture_output=True)
    (sdist,) = (tmp_path / 'dist').glob('mtkd_basicsr-*.tar.gz')
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    models = {f'mtkd_basicsr/reference/{path.name}' for path in REFERENCE.iterdir()}
    assert models <= names, models - names


def test_option_files_are_found():
    assert option_file('mtkd_edsr.yml').is_file()
    assert option_file('demo', 'mtkd.yml').is_file()
    with pytest.raises(FileNotFoundError, match="no option file 'demo/none.yml'"):
        option_file('demo', 'none.yml')
