"""Read option files and plans.

Every problem with a file raises an error of this package. With ``--safe`` nothing in the file is
executed.
"""

import contextlib
import os
import re
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import basicsr
import yaml
from basicsr.utils import options as basicsr_options

from ..errors import MTKDError, OptionError, first_line
from ..utils.version import __version__
from .command_line import command_line
from .startup import encoding_of

# More than any option file needs. Thousands of nested blocks overflow the stack of PyYAML's C
# loader, which kills Python.
_MAX_DEPTH = 50
_MAX_VALUES = 100_000
# Longest part of a key that a message shows, in characters.
_MAX_SHOWN = 60
# Python's own modules, PyYAML and BasicSR, and this package.
_NOT_OF_USERS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.__file__, yaml.__file__, basicsr.__file__, os.path.dirname(__file__))
)
_OPENING = yaml.SequenceStartEvent, yaml.MappingStartEvent
_CLOSING = yaml.SequenceEndEvent, yaml.MappingEndEvent
_PYTHON = 'tag:yaml.org,2002:python/'
# The tag in the first line of the option files of this package, which is already imported; its
# version is a string.
HARMLESS = 'python/name:mtkd_basicsr.__version__'


class SafeLoader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader for plain values and :data:`HARMLESS` only.

    Mappings keep their order, as in BasicSR's loader.
    """


def _refuse_python(loader: SafeLoader, suffix: str, node: yaml.Node) -> NoReturn:
    kind, _, name = suffix.partition(':')
    if not name:
        effect = 'create a Python object'
    elif kind in ('name', 'module'):
        effect = f'import {name}'
    else:
        effect = f'import and call {name}'
    raise yaml.constructor.ConstructorError(
        None,
        None,
        f"'!!python/{suffix}' would {effect}; with --safe expected no Python tag but !!{HARMLESS}",
        node.start_mark,
    )


SafeLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: OrderedDict(loader.construct_pairs(node)),
)
SafeLoader.add_constructor(f'tag:yaml.org,2002:{HARMLESS}', lambda loader, node: __version__)
SafeLoader.add_multi_constructor(_PYTHON, _refuse_python)


class _PlainLoader(SafeLoader):
    """A loader with None for the values of Python tags."""


_PlainLoader.add_multi_constructor(_PYTHON, lambda loader, suffix, node: None)


def _format_mark(mark: yaml.Mark | None) -> str:
    """Return ``', line 3, column 4'`` for a place in a file."""
    return '' if mark is None else f', line {mark.line + 1}, column {mark.column + 1}'


def _start(event: yaml.Event) -> yaml.Mark | None:
    # The C parser has a class of its own for marks, with the same attributes.
    return cast('yaml.Mark | None', event.start_mark)


def _describe(error: Exception) -> str:
    """Describe an error of PyYAML, with its line, or of a module or class named in the file."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        cause = error.__context__
        place = None if cause is None else _place_of(cause)
        if isinstance(cause, ImportError) and place is not None:  # PyYAML: "cannot find module"
            return f'{_format_mark(mark)}: a module that it names cannot import: {cause}{place}'
        return f'{_format_mark(mark)}: {error.problem or error.context}'
    place = _place_of(error)
    if place is None:
        return f': {first_line(error)}'
    kind = '' if isinstance(error, MTKDError) else f'{type(error).__name__}: '
    return f': {kind}{first_line(error)}{place}'


def _place_of(error: BaseException) -> str | None:
    """Return ``' (my_module.py, line 3)'`` for an error in a module that the file names.

    It is the innermost line that belongs neither to a library nor to this package.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.abspath(frame.filename)
        if os.path.isfile(path) and not path.startswith(_NOT_OF_USERS):
            return f' ({os.path.basename(path)}, line {frame.lineno})'
    return None


class _Keys:
    """The keys of a mapping that have been read so far, and where they are."""

    def __init__(self) -> None:
        self.marks: dict[str, yaml.Mark | None] = {}
        self.expects_key = True

    def add(self, event: yaml.Event) -> None:
        """Take the next key or value of the mapping.

        Raises:
            yaml.MarkedYAMLError: The key is there a second time.
        """
        is_key = self.expects_key
        self.expects_key = not is_key
        if not is_key or not isinstance(event, yaml.ScalarEvent):
            return
        if event.value in self.marks:
            first = _format_mark(self.marks[event.value]).lstrip(', ')
            raise yaml.MarkedYAMLError(
                problem=f"the key '{event.value}' is there a second time; the first is in {first}",
                problem_mark=_start(event),
            )
        self.marks[event.value] = _start(event)


def _check_structure(text: str, loader: type) -> None:
    """Raise for blocks that are nested too deeply, and for mappings with two equal keys.

    PyYAML takes the last of these without a word.
    """
    blocks: list[_Keys | None] = []  # None for a list
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, _CLOSING):
            blocks.pop()
            continue
        keys = blocks[-1] if blocks else None
        if keys is not None and isinstance(event, yaml.NodeEvent):
            keys.add(event)
        if isinstance(event, _OPENING):
            blocks.append(_Keys() if isinstance(event, yaml.MappingStartEvent) else None)
        if len(blocks) > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f'blocks are nested more than {_MAX_DEPTH} levels deep',
                problem_mark=_start(event),
            )


def _check_values(content: dict[Any, Any]) -> None:
    """Raise if a key is not a string, or if aliases make a block endless or too large.

    BasicSR cannot write keys of other types to its log.
    """
    pending: list[tuple[str, Any, int]] = [('', content, 0)]
    count = 0
    while pending:
        key, value, depth = pending.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_VALUES:
            shown = key if len(key) <= _MAX_SHOWN else f'{key[:_MAX_SHOWN]}…'
            raise OptionError(f'{shown}: aliases make a block contain itself, or grow too large')
        if isinstance(value, dict):
            for name, item in value.items():
                if not isinstance(name, str):
                    prefix = f'{key}: ' if key else ''
                    raise OptionError(f'{prefix}the key {name!r} is not a string; put it in quotes')
                pending.append((f'{key}.{name}' if key else name, item, depth + 1))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                pending.append((f'{key}[{i}]', item, depth + 1))


def read_options(path: str | os.PathLike[str], safe: bool = False) -> dict[str, Any]:
    """Read an option file as BasicSR's own loader does.

    Args:
        path: The file.
        safe: Whether to refuse Python tags, so that the file cannot import or call anything.

    Returns:
        All options, in their order.

    Raises:
        OptionError: The file is missing, not text, not YAML, or not a mapping with strings as keys;
            with ``safe`` also if it has a Python tag. The message gives the line.
    """
    return _read(path, SafeLoader if safe else basicsr_options.ordered_yaml()[0])


def _read(path: str | os.PathLike[str], loader: type) -> dict[str, Any]:
    """Read an option file with a loader; see :func:`read_options`."""
    if not Path(path).is_file():
        raise OptionError(f"-opt: no file '{path}'")
    try:
        content = Path(path).read_bytes()
        text = content.decode(encoding_of(content) or 'utf-8')
        _check_structure(text, loader)
        options = yaml.load(text, Loader=loader)
    # Besides its own errors PyYAML raises ValueError and TypeError, and passes on any error of the
    # classes named in the file.
    except Exception as error:
        raise OptionError(f"-opt: '{path}'{_describe(error)}") from error
    if not isinstance(options, dict):
        found = 'nothing' if options is None else type(options).__name__
        raise OptionError(
            f"-opt: '{path}' holds {found}; expected a mapping of option names to values"
        )
    try:
        _check_values(options)
    except OptionError as error:
        raise OptionError(f"-opt: '{path}': {error}") from error
    return options


def options_of_this_process() -> dict[str, Any]:
    """Return the options as the file of this process's command line has them.

    BasicSR replaces some of them when it parses the file. Those of ``--force_yml`` are not in it.

    Returns:
        The options, with None for Python objects, which BasicSR has already created; empty without
        ``-opt``.

    Raises:
        OptionError: As :func:`read_options`.
    """
    path = command_line().opt
    return {} if path is None else _read(path, _PlainLoader)


@contextlib.contextmanager
def basicsr_reads_safely(safe: bool = True) -> Iterator[None]:
    """Make BasicSR read option files with :class:`SafeLoader`, if ``safe``.

    BasicSR's own loader then never reads the file. This is safe even if the file changes after it
    was checked.

    Args:
        safe: Whether to refuse Python tags.
    """
    saved = basicsr_options.ordered_yaml
    if safe:
        basicsr_options.ordered_yaml = lambda: (SafeLoader, saved()[1])
    try:
        yield
    finally:
        basicsr_options.ordered_yaml = saved


def _with_negative_numbers(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let BasicSR read ``-1`` and ``-0.5`` as numbers, as it reads ``1`` and ``0.5``."""

    def value_of(text: str) -> Any:
        value = function(text)
        if value == text and re.fullmatch(r'-(\d+\.?\d*|\.\d+)', text):
            return float(text) if '.' in text else int(text)
        return value

    value_of.reads_negative_numbers = True  # type: ignore[attr-defined]
    return value_of


if not hasattr(basicsr_options._postprocess_yml_value, 'reads_negative_numbers'):
    basicsr_options._postprocess_yml_value = _with_negative_numbers(
        basicsr_options._postprocess_yml_value
    )


def value_of_text(text: str) -> Any:
    """Convert a value of ``--force_yml`` as BasicSR does.

    Args:
        text: The part after the ``=``: ``'~'``, ``'true'``, ``'1e-4'``, or any string.

    Returns:
        The value.
    """
    return basicsr_options._postprocess_yml_value(text)
