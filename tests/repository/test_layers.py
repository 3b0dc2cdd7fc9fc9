"""Lower layers know nothing of higher ones, and what may import what is the same for all files."""

from collections import Counter

import pytest
from source_tree import FILES, MODULES, PACKAGE, imports, imports_from_outside, module_of

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
COMPOSED = {'compare', 'demo', 'distill'}
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_imports_go_downwards(path):
    own = module_of(path)[0]
    assert own in LAYER, f'{own} belongs to no layer: add it to LAYERS'
    for found in imports(path):
        name = found.module
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
    for found in imports(path):
        name = found.module
        if name[:1] == ('commands',) and len(name) > 1:
            assert name[1] == own[1] or name[1].startswith('_'), f'{own[1]} imports {name}'


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_basicsr_is_imported_in_host_at_the_head_of_files(path):
    relative = path.relative_to(PACKAGE)
    for name, at_module_level in imports_from_outside(path):
        if name.split('.')[0] != 'basicsr':
            continue
        assert relative.parts[0] == 'host', f'{relative} imports {name}; see host/api.py'
        # The scripts are imported when they are run: one of them may be running already.
        if name not in ('basicsr.train', 'basicsr.test'):
            assert at_module_level, f'{relative} imports {name} inside of a function'


def test_modules_do_not_import_each_other_in_a_circle():
    done = set()

    def visit(name: tuple[str, ...], above: tuple[tuple[str, ...], ...]) -> None:
        assert name not in above, f'{" -> ".join(".".join(part) for part in (*above, name))}'
        if name in done:
            return
        for found in imports(MODULES[name]):
            if found.module and found.module != name:
                visit(found.module, (*above, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())


def test_functional_imports_torch_alone():
    for path in (PACKAGE / 'functional').glob('*.py'):
        for name, _ in imports_from_outside(path):
            assert name.split('.')[0] in ('torch', 'math', 'typing', 'collections'), path


def test_no_file_is_longer_than_400_lines():
    for path in FILES:
        assert len(path.read_text(encoding='utf-8').splitlines()) <= 400, path


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their names alone."""
    names = Counter(path.name for path in (PACKAGE.parent / 'tests').rglob('test_*.py'))
    assert [name for name, count in names.items() if count > 1] == []
