"""Counts of how the package is built, each with the goal that it has to meet.

    python tests/repository/structure.py

prints them as a table, and below it every place that a goal forbids. test_structure.py asserts the
goals; test_layers.py uses the graph of imports. Nothing is imported, and nothing is run: all of it
is read from the source.
"""

import ast
import sys
from dataclasses import dataclass

from implementations import ONE_PLACE, implementations
from raw_options import raw_option_functions
from source_tree import (
    FILES,
    PACKAGE,
    arguments_of,
    functions,
    imports_from_outside,
    longest_chain,
    place,
)

COLUMNS = 100
LONGEST_CHAIN = 9
FILES_THAT_IMPORT_BASICSR = 12
# For information alone: what is longer should have a reason.
LINES_OF_A_FUNCTION = 60
LINES_OF_A_FILE = 300


def arguments_and_returns() -> tuple[int, list[str]]:
    """Return how many arguments and returns there are, and those without a type.

    ``self`` and ``cls``, the first arguments of methods, need none.
    """
    total = 0
    missing = []
    for path in FILES:
        for function, owner in functions(path):
            arguments = arguments_of(function)
            decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
            if owner is not None and 'staticmethod' not in decorators:
                arguments = arguments[1:]
            total += len(arguments) + 1
            for argument in arguments:
                if argument.annotation is None:
                    missing.append(f'{place(path, function)} {function.name}: {argument.arg}')
            if function.returns is None:
                missing.append(f'{place(path, function)} {function.name}: its return')
    return total, missing


def long_lines() -> list[str]:
    """Return the lines with more than 100 columns."""
    return [
        place(path, number)
        for path in FILES
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        if len(line) > COLUMNS
    ]


def long_functions() -> list[str]:
    """Return the functions with more lines than most, docstring and all."""
    found = []
    for path in FILES:
        for function, _ in functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > LINES_OF_A_FUNCTION:
                found.append(f'{place(path, function)} {function.name}: {lines} lines')
    return found


def long_files() -> list[str]:
    """Return the files with more lines than most."""
    found = []
    for path in FILES:
        lines = len(path.read_text(encoding='utf-8').splitlines())
        if lines > LINES_OF_A_FILE:
            found.append(f'{path.relative_to(PACKAGE).as_posix()}: {lines} lines')
    return found


def root_files() -> list[str]:
    """Return the Python files that are in no folder of the package."""
    return sorted(path.name for path in PACKAGE.glob('*.py'))


def basicsr_files() -> list[str]:
    """Return the files that import BasicSR."""
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(name.split('.')[0] == 'basicsr' for name, _ in imports_from_outside(path))
    ]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What is counted.
        value: What it is.
        goal: What it should be; empty for what is information alone.
        met: Whether it is.
        places: Where it is not.
    """

    name: str
    value: str
    goal: str
    met: bool
    places: list[str]


def rows() -> list[Row]:
    """Count everything."""
    root = root_files()
    chain = longest_chain()
    everywhere = longest_chain(in_functions=True)
    with_packages = longest_chain(through_packages=True)
    total, missing = arguments_and_returns()
    lines = long_lines()
    raw, allowed = raw_option_functions()
    importers = basicsr_files()
    table = [
        Row("Python files at the package's root", str(len(root)), '3', len(root) == 3, root),
        Row(
            'longest chain of imports, at module level',
            str(len(chain)),
            f'≤ {LONGEST_CHAIN}',
            len(chain) <= LONGEST_CHAIN,
            [' → '.join(chain)],
        ),
        Row('… with those in functions', str(len(everywhere)), '', True, [' → '.join(everywhere)]),
        Row(
            '… with each __init__.py that passes names on',
            str(len(with_packages)),
            '',
            True,
            [' → '.join(with_packages)],
        ),
        Row(
            'arguments and returns with a type',
            f'{100 * (total - len(missing)) / total:.1f} % of {total:,}',
            '100 %',
            not missing,
            missing,
        ),
        Row(f'lines of more than {COLUMNS} columns', str(len(lines)), '0', not lines, lines),
        Row(
            'files that import BasicSR',
            str(len(importers)),
            f'≤ {FILES_THAT_IMPORT_BASICSR}',
            len(importers) <= FILES_THAT_IMPORT_BASICSR,
            importers,
        ),
        Row('functions that take a raw option dict', str(len(raw)), '0', not raw, raw),
        Row(
            "… that may: config/, host/, the boundary, overrides of BasicSR's",
            str(len(allowed)),
            '',
            True,
            [],
        ),
    ]
    for thing in ONE_PLACE:
        found = implementations(thing)
        table.append(
            Row(
                f'implementations: {thing.name}',
                str(len(found)),
                '1',
                list(found) == [thing.home],
                [where for places in found.values() for where in places],
            )
        )
    for name, found in (
        (f'functions of more than {LINES_OF_A_FUNCTION} lines', long_functions()),
        (f'files of more than {LINES_OF_A_FILE} lines', long_files()),
    ):
        table.append(Row(name, str(len(found)), '', True, found))
    return table


def main() -> None:
    """Print the table, and the places that are left."""
    table = rows()
    print('| | now | goal | |')
    print('|---|---|---|---|')
    for row in table:
        verdict = '' if not row.goal else 'met' if row.met else '**not met**'
        print(f'| {row.name} | {row.value} | {row.goal} | {verdict} |')
    for row in table:
        if row.places and not (row.goal and row.met):
            print(f'\n{row.name}:')
            for where in row.places:
                print(f'  {where}')


if __name__ == '__main__':
    if len(sys.argv) > 1:
        sys.exit(f'{sys.argv[0]} takes no arguments')
    main()
