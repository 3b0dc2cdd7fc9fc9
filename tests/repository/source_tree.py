"""The files of the package as syntax trees, and what they import. Nothing is imported or run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / 'mtkd_basicsr'
FILES = sorted(PACKAGE.rglob('*.py'))

Module = tuple[str, ...]  # a name below the package, in parts


def module_of(path: Path) -> Module:
    """Return the name of a module below the package, in parts; of a folder for its
    ``__init__.py``.
    """
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == '__init__' else parts


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding='utf-8'))


def place(path: Path, node: ast.AST | int) -> str:
    """Return ``file:line`` of a node, with the file below the package."""
    line = node if isinstance(node, int) else node.lineno
    return f'{path.relative_to(PACKAGE).as_posix()}:{line}'


@dataclass(frozen=True)
class Import:
    """An import of a module of the package.

    Attributes:
        module: What is imported. ``from .a import b`` is ``a.b`` where that is a module, and ``a``
            where ``b`` is something in it; ``()`` is the package itself.
        at_module_level: Whether it is done while the importing module is imported: neither in a
            function nor for the type checker alone. Class bodies, ``if`` and ``try`` belong to the
            module.
    """

    module: Module
    at_module_level: bool


def _import_nodes(
    body: list[ast.stmt], at_module_level: bool = True
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_module_level
            continue
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for_types = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        inside = at_module_level and not is_function
        for field, statements in ast.iter_fields(node):
            if field in ('body', 'orelse', 'finalbody'):
                is_for_types = for_types and field == 'body'
                yield from _import_nodes(statements, inside and not is_for_types)
            elif field in ('handlers', 'cases'):
                for handler in statements:
                    yield from _import_nodes(handler.body, inside)


def _taken_from(package: Module, name: str) -> Module:
    """Return the module that the ``__init__.py`` of a package takes a name from.

    ``config`` takes ``parse`` from ``config.parsing``. It is the package itself if it defines the
    name.
    """
    if MODULES[package].name != '__init__.py':
        return package
    for node in tree_of(MODULES[package]).body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        for alias in node.names:
            if name == (alias.asname or alias.name):
                return _module_named(MODULES[package], node, alias.name, through_packages=False)
    return package


def _module_named(
    path: Path, node: ast.ImportFrom, name: str, through_packages: bool = True
) -> Module:
    """Return the module that a file imports with one name of a relative import."""
    parts = path.relative_to(PACKAGE).parts
    base = parts[: len(parts) - node.level]
    if node.module:
        base = (*base, *node.module.split('.'))
    full = (*base, name)
    if full in MODULES:
        return full
    return base if through_packages or base not in MODULES else _taken_from(base, name)


def imports(path: Path, through_packages: bool = True) -> Iterator[Import]:
    """Return the modules of the package that a file imports, wherever in the file.

    Args:
        path: The file.
        through_packages: Whether ``from .a import b`` is ``a`` where ``a/__init__.py`` takes ``b``
            from another module; otherwise it is that module.
    """
    for node, at_module_level in _import_nodes(tree_of(path).body):
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                found = _module_named(path, node, alias.name, through_packages)
                yield Import(found, at_module_level)
            continue
        if isinstance(node, ast.ImportFrom):
            names = [node.module or '']
        else:
            names = [alias.name for alias in node.names]
        for name in names:
            assert name.split('.')[0] != 'mtkd_basicsr', f'{path}: import it relatively'


def imports_from_outside(path: Path) -> Iterator[tuple[str, bool]]:
    """Return the names of other packages' modules that a file imports, and whether that is done at
    the head of the file.
    """
    for node, at_module_level in _import_nodes(tree_of(path).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, at_module_level
        elif not node.level:
            yield node.module or '', at_module_level


def longest_chain(in_functions: bool = False, through_packages: bool = False) -> list[str]:
    """Return the longest chain of modules each of which imports the next one.

    A package that passes a name on is no link of a chain: ``from ..config import parse`` leads to
    ``config.parsing``, as ``from ..config.parsing import parse`` does. The two say the same, and
    which of them a file has is no matter of its structure. That Python runs
    ``config/__init__.py`` before either does not count. By this measure version 0.1.0 has 16
    modules, and 18 with each ``__init__.py`` as a link.

    Imports for the type checker alone do not count. Those of the package itself are left out: they
    are of its version.

    Args:
        in_functions: Whether to count imports inside of functions too.
        through_packages: Whether an ``__init__.py`` that passes a name on is a link.

    Returns:
        Names below the package; the length is the number of modules.
    """

    @cache
    def chain_from(module: Module) -> tuple[Module, ...]:
        longest: tuple[Module, ...] = ()
        for found in imports(MODULES[module], through_packages):
            if found.module and found.module != module and (found.at_module_level or in_functions):
                chain = chain_from(found.module)
                if len(chain) > len(longest):
                    longest = chain
        return (module, *longest)

    chains = [chain_from(module) for module in MODULES]
    return ['.'.join(module) for module in max(chains, key=len)]


def functions(
    path: Path,
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
    """Return all functions of a file, each with the class whose method it is."""

    def below(
        node: ast.AST, owner: ast.ClassDef | None
    ) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child, owner
                yield from below(child, None)
            else:
                yield from below(child, child if isinstance(child, ast.ClassDef) else owner)

    yield from below(tree_of(path), None)


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Return all arguments of a function, ``*args`` and ``**kwargs`` too."""
    found = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return found + [a for a in (function.args.vararg, function.args.kwarg) if a is not None]
