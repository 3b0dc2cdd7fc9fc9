"""The package is built as it is meant to be: the goals of structure.py."""

import pytest
import raw_options
import source_tree
from implementations import ONE_PLACE, implementations, unused_exceptions
from raw_options import raw_option_functions
from source_tree import Import, longest_chain
from structure import (
    LONGEST_CHAIN,
    arguments_and_returns,
    long_lines,
    main,
    root_files,
    rows,
)


def test_three_python_files_are_at_the_root():
    assert root_files() == ['__init__.py', '__main__.py', 'errors.py']


def test_chains_of_imports_are_short():
    chain = longest_chain()
    assert len(chain) <= LONGEST_CHAIN, ' → '.join(chain)


def test_every_argument_and_return_has_a_type():
    total, missing = arguments_and_returns()
    assert total > 2000
    assert missing == []


def test_no_line_is_longer_than_100_columns():
    assert long_lines() == []


def test_only_overrides_of_basicsr_take_raw_options():
    forbidden, allowed = raw_option_functions()
    assert allowed, 'nothing is found'
    assert forbidden == []


@pytest.mark.parametrize('thing', ONE_PLACE, ids=lambda thing: thing.name)
def test_it_is_implemented_in_one_place(thing):
    found = implementations(thing)
    assert list(found) == [thing.home], found


@pytest.mark.parametrize('thing', ONE_PLACE, ids=lambda thing: thing.name)
def test_what_is_allowed_elsewhere_is_still_there(thing):
    assert unused_exceptions(thing) == []


def test_the_table_has_every_goal(capsys):
    main()
    printed = capsys.readouterr().out
    for row in rows():
        assert f'| {row.name} | {row.value} | {row.goal} |' in printed
    assert printed.count('met') >= 9


# The counts themselves, on files that are made for it.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write the files of a small package in the place of ours."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace('__', '/') + '.py')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        paths = sorted(tmp_path.rglob('*.py'))
        monkeypatch.setattr(source_tree, 'PACKAGE', tmp_path)
        for module in ('source_tree', 'raw_options', 'implementations', 'structure'):
            monkeypatch.setattr(f'{module}.PACKAGE', tmp_path, raising=False)
            monkeypatch.setattr(f'{module}.FILES', paths)
        modules = {source_tree.module_of(path): path for path in paths}
        monkeypatch.setattr(source_tree, 'MODULES', modules)
        return tmp_path

    return write


def test_kinds_of_imports_are_told_apart(package):
    folder = package(
        a='from . import b\nfrom .b import c\nif TYPE_CHECKING:\n    from . import d\n'
        'class K:\n    from . import e\n'
        'def f():\n    from . import g\n'
        'try:\n    from . import h\nexcept ImportError:\n    from . import i\n',
        **dict.fromkeys('bdeghi', ''),
    )
    assert list(source_tree.imports(folder / 'a.py')) == [
        Import(('b',), True),
        Import(('b',), True),
        Import(('d',), False),
        Import(('e',), True),
        Import(('g',), False),
        Import(('h',), True),
        Import(('i',), True),
    ]


@pytest.fixture
def passing_on(package):
    """Write a package whose ``__init__.py`` passes on a name of its module ``thing``."""
    folder = package(
        above='from . import top\n',
        top='from .middle import call\n',
        low='',
        middle__thing='def call():\n    from .. import low\n',
    )
    (folder / 'middle' / '__init__.py').write_text('from .thing import call\n\nOWN = 1\n')
    package()
    return folder


def test_a_package_that_passes_a_name_on_is_no_link(passing_on):
    assert longest_chain() == ['above', 'top', 'middle.thing']
    assert longest_chain(in_functions=True) == ['above', 'top', 'middle.thing', 'low']


def test_packages_can_be_counted(passing_on):
    assert longest_chain(through_packages=True) == ['above', 'top', 'middle', 'middle.thing']
    everywhere = longest_chain(in_functions=True, through_packages=True)
    assert everywhere == ['above', 'top', 'middle', 'middle.thing', 'low']


def test_a_name_is_followed_through_several_packages(package):
    folder = package(
        above='from . import top\n',
        top='from .outer import name\n',
        outer__inner__thing='from ... import low\nnew = 1\n',
        low='',
    )
    (folder / 'outer' / '__init__.py').write_text('from .inner import name\n')
    (folder / 'outer' / 'inner' / '__init__.py').write_text('from .thing import new as name\n')
    package()
    assert longest_chain() == ['above', 'top', 'outer.inner.thing', 'low']


def test_what_a_package_defines_itself_is_its_own(passing_on, package):
    (passing_on / 'top.py').write_text('from .middle import OWN\n')
    package()
    assert longest_chain() == ['above', 'top', 'middle', 'middle.thing']


def test_raw_options_are_found_by_name_and_type(package, monkeypatch):
    package(
        commands='def a(opt: dict[str, Any]): ...\n'
        'def b(block: Mapping[str, Any] | None): ...\n'
        'def c(kd: Any): ...\n'
        'def d(opt: TrainingConfig, path: Any, **options: Any): ...\n'
        'def e(values: dict[str, Any]): ...\n',
        config__parsing='def parse(opt: dict[str, Any]): ...\n',
        models__base='from ..host.api import SRModel\n'
        'class Base(SRModel):\n'
        '    def __init__(self, opt: dict[str, Any]): ...\n'
        '    def ours(self, opt: dict[str, Any]): ...\n'
        'class Other:\n'
        '    def __init__(self, opt: dict[str, Any]): ...\n',
    )
    raw_options.basicsr_subclasses.cache_clear()
    forbidden, allowed = raw_option_functions()
    raw_options.basicsr_subclasses.cache_clear()
    assert forbidden == [
        'commands.py:1 a: opt',
        'commands.py:2 b: block',
        'commands.py:3 c: kd',
        'models/base.py:4 ours: opt',
        'models/base.py:6 __init__: opt',
    ]
    assert allowed == ['config/parsing.py:1 parse: opt', 'models/base.py:3 __init__: opt']


@pytest.mark.parametrize(
    ('name', 'expression'),
    [
        ('image ↔ tensor', 'torch.from_numpy(image).permute(2, 0, 1)'),
        ('image ↔ tensor', 'tensor2img(output)'),
        ('image ↔ tensor', 'image.astype(np.float32) / 255.0'),
        ('image ↔ tensor', '(x.clamp(0, 1) * 255).round()'),
        ('atomic write', 'os.replace(temporary, path)'),
        ('atomic write', 'temporary.replace(path)'),
        ('PSNR', '-10 * torch.log10(error)'),
        ('image decoding', 'cv2.imread(path)'),
        ('image decoding', 'Image.open(path)'),
    ],
)
def test_another_implementation_is_found(name, expression, package):
    thing = next(thing for thing in ONE_PLACE if thing.name == name)
    package(other=f'# os.replace(a, b)\n"""tensor2img(x), log10(x)"""\nx = {expression}\n')
    assert implementations(thing) == {'other.py': ['other.py:3']}


@pytest.mark.parametrize('expression', ["text.replace('a', 'b')", 'x / 256', 'x.permute(0, 2, 1)'])
def test_other_expressions_are_no_implementations(expression, package):
    package(other=f'x = {expression}\n')
    for thing in ONE_PLACE:
        assert implementations(thing) == {}


def test_missing_types_are_found(package):
    package(
        a='class K:\n    def f(self, x: int, *args, **kwargs: int) -> None: ...\n'
        '    @staticmethod\n    def g(x): ...\n'
    )
    assert arguments_and_returns() == (
        6,
        ['a.py:2 f: args', 'a.py:4 g: x', 'a.py:4 g: its return'],
    )


def test_an_exception_without_use_is_found(package):
    package(other='x = 1\n')
    thing = next(thing for thing in ONE_PLACE if thing.allowed)
    assert unused_exceptions(thing) == list(thing.allowed)
