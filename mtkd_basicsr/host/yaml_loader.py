"""Reading option files and plans.

Whatever is wrong with a file is an error of ours, and with ``--safe`` nothing in it is executed.
"""

import contextlib
import functools
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from basicsr.utils import options as basicsr_options

from ..errors import OptionError, first_line
from ..utils.version import __version__

# More than any option file has. PyYAML's C loader runs out of stack at some thousands of nested
# blocks, and takes Python with it.
_DEEPEST = 50
_MOST = 100_000
_OPENING = yaml.SequenceStartEvent, yaml.MappingStartEvent
_CLOSING = yaml.SequenceEndEvent, yaml.MappingEndEvent
_PYTHON = 'tag:yaml.org,2002:python/'
# The first line of our option files. This package is imported already, and its version is a text.
HARMLESS = 'python/name:mtkd_basicsr.__version__'


class SafeLoader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader that knows plain values alone, and :data:`HARMLESS`.

    Mappings keep their order, as BasicSR's loader does it.
    """


def _refuse_python(loader: SafeLoader, suffix: str, node: yaml.Node) -> NoReturn:
    kind, _, name = suffix.partition(':')
    does = (
        {'name': 'import', 'module': 'import'}.get(kind, 'import and call')
        if name
        else 'be read as Python has it'
    )
    raise yaml.constructor.ConstructorError(
        None,
        None,
        f"'!!python/{suffix}' would {does}{' ' + name if name else ''}; with --safe "
        f'expected no Python tag but !!{HARMLESS}',
        node.start_mark,
    )


SafeLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: OrderedDict(loader.construct_pairs(node)),
)
SafeLoader.add_constructor(f'tag:yaml.org,2002:{HARMLESS}', lambda loader, node: __version__)
SafeLoader.add_multi_constructor(_PYTHON, _refuse_python)


def _where(mark: yaml.Mark | None) -> str:
    return '' if mark is None else f', line {mark.line + 1}, column {mark.column + 1}'


def _described(error: Exception) -> str:
    """Say where and what an error is that PyYAML, or a class that the file names, has raised."""
    if isinstance(error, yaml.MarkedYAMLError):
        return (
            f'{_where(error.problem_mark or error.context_mark)}: {error.problem or error.context}'
        )
    return f': {first_line(error)}'


def _check_depth(text: str, loader: type) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if depth > _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f'blocks are nested more than {_DEEPEST} times',
                problem_mark=event.start_mark,  # type: ignore[arg-type]
            )


def _check_values(content: dict[Any, Any]) -> None:
    """Refuse names that are no texts, and blocks that contain themselves or grow by aliases.

    BasicSR cannot write such names into its log.
    """
    todo: list[tuple[str, Any, int]] = [('', content, 0)]
    count = 0
    while todo:
        key, value, depth = todo.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST:
            raise OptionError(
                f'{key[:60]}{"…" if len(key) > 60 else ""}: blocks that contain themselves, or '
                'each other too often'
            )
        if isinstance(value, dict):
            wrong = [name for name in value if not isinstance(name, str)]
            if wrong:
                raise OptionError(
                    f'{key + ": " if key else ""}the name {wrong[0]!r} is not a text; put it in '
                    'quotes'
                )
            todo += [
                (f'{key}.{name}' if key else name, each, depth + 1) for name, each in value.items()
            ]
        elif isinstance(value, list):
            todo += [(f'{key}[{i}]', each, depth + 1) for i, each in enumerate(value)]


def read_options(path: str | os.PathLike[str], safe: bool = False) -> dict[str, Any]:
    """Read an option file as BasicSR's own loader does.

    Args:
        path: The file.
        safe: Nothing that is named in it is imported or called: Python tags are refused.

    Returns:
        All options, in their order.

    Raises:
        OptionError: No such file, not text, not YAML, or not a mapping of names; with ``safe``,
            a Python tag, with its line.
    """
    if not Path(path).is_file():
        raise OptionError(f"-opt: no file '{path}'")
    loader = SafeLoader if safe else basicsr_options.ordered_yaml()[0]
    try:
        text = Path(path).read_text(encoding='utf-8')
        _check_depth(text, loader)
        content = yaml.load(text, Loader=loader)
    # Beside its own errors PyYAML lets ValueError and TypeError out, and whatever classes that the
    # file names raise.
    except Exception as error:
        raise OptionError(f"-opt: '{path}'{_described(error)}") from error
    if not isinstance(content, dict):
        what = 'nothing' if content is None else type(content).__name__
        raise OptionError(
            f"-opt: '{path}' holds {what}; expected a mapping of option names to values"
        )
    try:
        _check_values(content)
    except OptionError as error:
        raise OptionError(f"-opt: '{path}': {error}") from error
    return content


@contextlib.contextmanager
def basicsr_reads_safely(safe: bool = True) -> Iterator[None]:
    """Let BasicSR read option files as UTF-8 and, with ``safe``, by :class:`SafeLoader`.

    Its own loader never sees the file, so that it does not matter whether somebody changes it
    between two looks at it.

    Args:
        safe: Whether nothing that a file names is executed.
    """
    before = basicsr_options.ordered_yaml
    if safe:
        basicsr_options.ordered_yaml = lambda: (SafeLoader, before()[1])
    # BasicSR opens option files, and its copy of them, in the encoding of the locale.
    basicsr_options.open = functools.partial(open, encoding='utf-8')
    try:
        yield
    finally:
        vars(basicsr_options).pop('open', None)
        basicsr_options.ordered_yaml = before


def value_of_text(text: str) -> Any:
    """Read a value of ``--force_yml`` as BasicSR does: ``'~'``, ``'true'``, ``'1e-4'``, a text.

    Args:
        text: What stands behind the ``=``.

    Returns:
        The value.
    """
    return basicsr_options._postprocess_yml_value(text)
