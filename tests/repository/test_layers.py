"""Lower layers know nothing of higher ones, and what may import what is the same for all files."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'mtkd_basicsr'
# A file imports from lower layers, or from its own folder.
LAYERS = (
    ('errors',),
    ('functional', 'utils'),
    ('host', 'config'),
    ('archs', 'losses', 'weights'),
    ('data', 'teachers'),
    ('distillers', 'models', 'evaluation'),
    ('checks',),
    ('commands',),
    ('__init__', '__main__'),
)
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}
IN_ONE_LAYER = {('models', 'distillers')}
# These do what others do, one after the other.
COMPOSED = {'compare', 'demo'}
USES_BASICSR = {'host', 'archs', 'losses', 'data', 'models'}
FILES = sorted(PACKAGE.rglob('*.py'))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


def module_of(path: Path) -> tuple[str, ...]:
    """The name of a module below the package, in parts; a folder for its ``__init__.py``."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == '__init__' else parts


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Modules of the package that a file imports, wherever in the file, in parts."""
    parts = path.relative_to(PACKAGE).parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*parts[: len(parts) - node.level], *(node.module or '').split('.'))
            base = tuple(part for part in base if part)
            for alias in node.names:
                full = (*base, alias.name)
                yield full if full in MODULES else base
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            for name in names:
                assert name.split('.')[0] != 'mtkd_basicsr', f'{path}: import it relatively'


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_imports_go_downwards(path):
    own = module_of(path)[0]
    assert own in LAYER, f'{own} belongs to no layer: add it to LAYERS'
    for name in imports(path):
        other = name[0] if name else '__init__'
        if other == own or (own, other) in IN_ONE_LAYER:
            continue
        assert LAYER[other] < LAYER[own], (
            f'{path.relative_to(PACKAGE)} (layer {LAYER[own]}) imports {".".join(name)} '
            f'(layer {LAYER[other]})'
        )


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_commands_do_not_import_each_other(path):
    own = module_of(path)
    if own[0] != 'commands' or len(own) < 3 or own[1] in COMPOSED:
        return
    for name in imports(path):
        if name[:1] == ('commands',) and len(name) > 1:
            assert name[1] == own[1] or name[1].startswith('_'), f'{own[1]} imports {name}'


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_basicsr_is_imported_by_some_folders_at_the_head_of_files(path):
    relative = path.relative_to(PACKAGE)
    tree = tree_of(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            if name.split('.')[0] != 'basicsr':
                continue
            assert relative.parts[0] in USES_BASICSR, f'{relative} imports {name}; see host/api.py'
            # The scripts are imported when they are run: one of them may be running already.
            if name not in ('basicsr.train', 'basicsr.test'):
                assert node in tree.body, f'{relative} imports {name} inside of a function'


def test_modules_do_not_import_each_other_in_a_circle():
    done = set()

    def visit(name: tuple[str, ...], above: tuple[tuple[str, ...], ...]) -> None:
        assert name not in above, f'{" -> ".join(".".join(part) for part in (*above, name))}'
        if name in done:
            return
        for other in imports(MODULES[name]):
            if other and other != name:
                visit(other, (*above, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())


def test_three_files_stand_at_the_root():
    assert sorted(path.name for path in PACKAGE.glob('*.py')) == [
        '__init__.py',
        '__main__.py',
        'errors.py',
    ]


def test_functional_needs_torch_alone():
    for path in (PACKAGE / 'functional').glob('*.py'):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            assert {name.split('.')[0] for name in names} <= {
                'torch',
                'math',
                'typing',
                'collections',
            }


def test_files_stay_short():
    for path in FILES:
        assert len(path.read_text(encoding='utf-8').splitlines()) <= 400, path
