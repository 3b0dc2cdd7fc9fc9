"""``docs/options.md``: every option key of ours, out of the classes that read them."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from ...config import PLUGIN_KEYS, TEACHER_KINDS, KDOptions
from ...config.plan import Condition, PlanOptions
from ...distillers import METHODS
from ...distillers.base import FeatureOptions
from .. import _registration

_HEAD = """# Option keys

This page is written by `mtkd options --reference`, which also prints it without a copy of \
this repository.

BasicSR's keys mean [what they mean in BasicSR]\
(https://github.com/XPixelGroup/BasicSR/blob/master/docs/Config.md); here are those that
`mtkd_basicsr` adds. `~` is YAML's way to say nothing. An unknown key is refused, with the \
nearest known one; `mtkd check -opt FILE`
finds all mistakes of a file at once.

"""
_TYPES: dict[type, str] = {
    dict: 'mapping',
    list: 'list',
    str: 'text',
    bool: '`true` or `false`',
    int: 'whole number',
    float: 'number',
}


def described(docstring: str | None, section: str) -> dict[str, str]:
    """Return the entries of a section of a docstring.

    Args:
        docstring: Sections with entries like these.
        section: ``'Args'`` or ``'Attributes'``.

    Returns:
        Name -> text, in Markdown.
    """
    entries: dict[str, str] = {}
    names: list[str] = []
    _, _, block = inspect.cleandoc(docstring or '').partition(f'{section}:\n')
    for line in block.split('\n\n')[0].splitlines():
        head = re.match(r' {4}(\w+(?:, \w+)*)(?: \(.*?\))?: +(\S.*)', line)
        if head:
            names = head[1].split(', ')
        for name in names:
            entries[name] = f'{entries[name]} {line.strip()}' if not head else head[2]
    return {name: _markdown(text) for name, text in entries.items()}


def _markdown(text: str) -> str:
    text = re.sub(r':\w+:`~?\.?([\w.]+)`', r'`\1`', text)
    # A text needs no quotes in YAML.
    return re.sub(r"``'(\w+)'``", r'`\1`', text).replace('``', '`').replace('|', r'\|')


def _summary(cls: type[Any]) -> str:
    return _markdown(' '.join(inspect.cleandoc(cls.__doc__ or '').split('\n\n')[0].split()))


def _value(default: Any) -> str:
    if default in (inspect.Parameter.empty, dataclasses.MISSING):
        return 'needed'
    if default is None:
        return '`~`'
    if isinstance(default, float):
        return f'`{default:g}`'
    if isinstance(default, (list, tuple)):
        return f'`{list(default)}`'
    if isinstance(default, bool):
        return f'`{str(default).lower()}`'
    return f'`{default}`'


def _table(
    rows: Iterable[Sequence[str]],
    columns: Sequence[str] = ('key', 'type', 'default', 'meaning'),
) -> str:
    lines: list[Sequence[str]] = [columns, ['---'] * len(columns), *rows]
    return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines) + '\n'


def keys(
    cls: type[Any], without: type[Any] | None = None, prefix: str = ''
) -> list[tuple[str, str, str, str]]:
    """Return the rows of the keys of a dataclass.

    Args:
        cls: A dataclass; its docstring, and those of its bases, have an entry for every
            field under ``Attributes``.
        without: A dataclass whose fields are left out.
        prefix: Before each key.

    Returns:
        Key, type, default, meaning.

    Raises:
        KeyError: a field without an entry.
    """
    texts: dict[str, str] = {}
    types = typing.get_type_hints(cls)
    rows = []
    for base in reversed(cls.__mro__):
        texts.update(described(base.__doc__, 'Attributes'))
    for field in dataclasses.fields(cls):
        if without is None or field.name not in {
            other.name for other in dataclasses.fields(without)
        }:
            kind = (typing.get_args(types[field.name]) or (types[field.name],))[0]
            default = (
                field.default
                if field.default_factory is dataclasses.MISSING
                else field.default_factory()
            )
            # An empty list or mapping is what stands for nothing.
            rows.append(
                (
                    f'`{prefix}{field.name}`',
                    _TYPES[kind],
                    _value(None if default in ([], {}) else default),
                    texts[field.name],
                )
            )
    return rows


def arguments(cls: type[Any]) -> list[tuple[str, str, str]]:
    """Return the rows of the arguments of a network or a loss.

    Args:
        cls: Its docstring has an entry for every argument under ``Args``.

    Returns:
        Key, default, meaning.

    Raises:
        KeyError: an argument without an entry.
    """
    texts = described(cls.__doc__, 'Args')
    return [
        (f'`{name}`', _value(parameter.default), texts[name])
        for name, parameter in inspect.signature(cls).parameters.items()
    ]


def reference() -> str:
    """Return the text of ``docs/options.md``.

    Returns:
        Markdown.
    """
    features = [
        f'`{name}`'
        for name, method in METHODS.items()
        if issubclass(method.Options, FeatureOptions)
    ]
    registered = [
        (f'`{name}`', _summary(getattr(_registration, name))) for name in _registration.__all__
    ]
    parts = [
        _HEAD,
        '## Names\n\nThese are in the registries of BasicSR: `model_type`, and `type` of networks, '
        'losses and datasets.\n\n',
        _table(registered, ('name', 'what')),
    ]
    for block, classes in PLUGIN_KEYS.items():
        parts += [
            f'## `{block}`\n\n' if block else '## At the top of the file\n\n',
            _table(
                [row for cls in classes for row in keys(cls, prefix=f'{block}.' if block else '')]
            ),
        ]
        if not block:
            parts += [
                '## `teachers.NAME` and `fusion`\n\n',
                _table(keys(TEACHER_KINDS[0], prefix='teachers.NAME.')),
            ]
            for kind in TEACHER_KINDS[1:]:
                parts += [
                    f'A teacher that is {kind.noun} has these instead.\n\n',
                    _table(keys(kind, prefix='teachers.NAME.')),
                ]
    parts += [
        '## `train.kd`\n\nAll methods have these; [methods.md](methods.md) says what the methods '
        'are.\n\n',
        _table(keys(KDOptions, prefix='train.kd.')),
        f'Methods that compare features ({", ".join(features)}) have these too.\n\n',
        _table(keys(FeatureOptions, KDOptions, 'train.kd.')),
    ]
    for name, method in METHODS.items():
        rows = keys(
            method.Options,
            FeatureOptions if issubclass(method.Options, FeatureOptions) else KDOptions,
            'train.kd.',
        )
        if rows:
            parts += [f'### `{name}`\n\n', _table(rows)]
    for name in ('WaveletLoss', 'DCTLoss', 'DCTSwin', 'ConvFusion'):
        parts += [
            f'## Arguments of `{name}`\n\n',
            _table(arguments(getattr(_registration, name)), ('key', 'default', 'meaning')),
        ]
    parts += [
        '## Plans of `mtkd compare`\n\n',
        _table(keys(PlanOptions)),
        'An entry of `when` has these.\n\n',
        _table(keys(Condition)),
    ]
    return ''.join(parts).rstrip('\n') + '\n'
