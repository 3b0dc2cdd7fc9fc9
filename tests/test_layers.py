"""Lower layers know nothing of higher ones: a file imports from layers below its own, or from its
own folder.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'mtkd_basicsr'
LAYERS = (
    (
        'functional',
        'errors',
        'resume',
        'compat',
        'distributed',
        'arguments',
        'yaml_files',
        'registry',
        'checkpoints',
        'random_state',
        'resources',
        'formats',
        'bicubic',
        'resize',
        'images',
        'startup',
        'choices',
        'progress',
        'quiet',
        'precision',
    ),
    ('options', 'networks', 'image_folder'),
    ('archs', 'features', 'losses', 'teachers', 'data'),
    ('distillers',),
    ('models',),
    (
        'basicsr_scripts',
        'commands',
        'registration',
        'demo',
        'checks',
        'compare',
        'data_folders',
        'export',
        'generate',
        'jobs',
        'train',
        'upscale',
        'cache',
        'cli',
        '__main__',
    ),
)
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}


def imports(path):
    """Top-level members of the package that a file imports, wherever in the file."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside = path.relative_to(PACKAGE).parts[: depth - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield (*inside, *name.split('.'))[0]


@pytest.mark.parametrize(
    'path', sorted(PACKAGE.rglob('*.py')), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_go_downwards(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    if own in ('__init__', 'registration'):
        return
    assert own in LAYER, f'{own} belongs to no layer: add it to LAYERS'
    for name in imports(path):
        if name in ('__version__', own):
            continue
        assert name in LAYER, f'{path.name} imports {name}, which belongs to no layer'
        below = LAYER[name] < LAYER[own] or (LAYER[name] == LAYER[own] and LAYER[own] in (0, 5))
        assert below, (
            f'{path.relative_to(PACKAGE)} (layer {LAYER[own]}) imports {name} (layer {LAYER[name]})'
        )


def test_functional_needs_torch_alone():
    allowed = {'torch', 'math'}
    for path in (PACKAGE / 'functional').glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            assert {n.split('.')[0] for n in names} <= allowed, f'{path.name} imports {names}'


def test_files_stay_short():
    for path in PACKAGE.rglob('*.py'):
        assert len(path.read_text().splitlines()) <= 400, path
