"""Functions that take an option file, or a section of it, as a raw dict."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

from source_tree import FILES, PACKAGE, functions, place, tree_of

# Names of an option file and of its sections. `path` and `test` are names of other things too: they
# count where the type is a mapping.
OPTION_NAMES = {
    *('opt', 'options', 'opt_train', 'train_opt', 'val_opt', 'dataset_opt', 'network_opt'),
    *('block', 'section', 'datasets', 'dataset', 'network', 'network_g', 'teachers', 'fusion'),
    *('train', 'val', 'kd', 'logger', 'path', 'test', 'cache_opt', 'speed'),
}
AMBIGUOUS_NAMES = {'path', 'test', 'val', 'network', 'dataset', 'speed'}
_RAW_MAPPING = re.compile(r'(dict|Dict|Mapping|MutableMapping)(\[str, (Any|object)\])?')
# The parser itself, and the boundary to BasicSR.
RAW_OPTION_FOLDERS = {'config', 'host'}
# Functions that get their options from BasicSR, or from its command line, and those that hand a
# section to one of BasicSR's registries.
BOUNDARY = {
    'commands/cache/request.py': {'of'},
    'checks/loggers.py': {'check_loggers'},
    'checks/preflight.py': {
        *('_try_build', 'add_network', 'before_training', 'before_test', 'check_options'),
    },
    'checks/static.py': {'check_fast', 'refuse'},
    'data/whole_images.py': {'build_paired_dataset'},
    'distillers/training_config.py': {'training_config', 'check_method', 'used_teachers'},
    'weights/networks.py': {'build'},
}
# Where classes of BasicSR are subclassed, which get what BasicSR's own get.
OVERRIDING_FOLDERS = {'models', 'data'}


def _is_raw(argument: ast.arg) -> bool:
    if argument.annotation is None or argument.arg not in OPTION_NAMES:
        return False
    kinds = {kind.strip() for kind in ast.unparse(argument.annotation).split(' | ')}
    kinds -= {'None'}
    if any(_RAW_MAPPING.fullmatch(kind) for kind in kinds):
        return True
    return bool(kinds & {'Any', 'object'}) and argument.arg not in AMBIGUOUS_NAMES


@cache
def basicsr_methods() -> frozenset[str]:
    """Return the names of all methods of BasicSR's models and datasets."""
    spec = importlib.util.find_spec('basicsr')
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    names = set()
    for folder in OVERRIDING_FOLDERS:
        for path in (root / folder).glob('*.py'):
            for node in tree_of(path).body:
                if isinstance(node, ast.ClassDef):
                    names |= {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    return frozenset(names)


@cache
def basicsr_subclasses() -> frozenset[str]:
    """Names of our classes that have one of BasicSR's, or one of these, as a base."""
    imported = set()
    classes = {}
    for folder in OVERRIDING_FOLDERS:
        for path in (PACKAGE / folder).rglob('*.py'):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.ImportFrom) and node.module == 'host.api':
                    imported |= {alias.asname or alias.name for alias in node.names}
                elif isinstance(node, ast.ClassDef):
                    classes[node.name] = {ast.unparse(base) for base in node.bases}
    found: set[str] = set()
    while True:
        more = {name for name, bases in classes.items() if bases & (imported | found)} - found
        if not more:
            return frozenset(found)
        found |= more


def raw_option_functions() -> tuple[list[str], list[str]]:
    """Return the functions that take an option file, or a section of it, as a raw dict.

    Such an argument has a name of :data:`OPTION_NAMES` and the type of a mapping of anything, or
    ``Any``.

    Returns:
        Those that should not, and those that may: in ``config/`` and ``host/``, those of
        :data:`BOUNDARY`, and overrides of BasicSR's own methods in ``models/`` and ``data/``.
    """
    forbidden = []
    allowed = []
    for path in FILES:
        folder = path.relative_to(PACKAGE).parts[0]
        for function, owner in functions(path):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            names = [argument.arg for argument in arguments if _is_raw(argument)]
            if not names:
                continue
            overrides = (
                folder in OVERRIDING_FOLDERS
                and owner is not None
                and owner.name in basicsr_subclasses()
                and function.name in basicsr_methods()
            )
            boundary = BOUNDARY.get(path.relative_to(PACKAGE).as_posix(), set())
            allows = overrides or folder in RAW_OPTION_FOLDERS or function.name in boundary
            where = allowed if allows else forbidden
            where.append(f'{place(path, function)} {function.name}: {", ".join(names)}')
    return forbidden, allowed
