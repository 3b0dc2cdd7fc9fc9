"""``docs/options.md``: every option key of this package, from the docstrings of its classes."""

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

`mtkd options --reference` generates this page.

It lists the keys that `mtkd_basicsr` adds. All other keys have their \
[meaning in BasicSR](https://github.com/XPixelGroup/BasicSR/blob/master/docs/Config.md).
`~` is YAML's null. An unknown key of `train`, or one that resembles a known key, is an error that \
suggests the nearest known key;
of other keys that nothing reads `mtkd check -opt FILE` warns. It reports all mistakes of a file.

"""
_TYPES: dict[type, str] = {
    dict: 'mapping',
    list: 'list',
    str: 'string',
    bool: '`true` or `false`',
    int: 'whole number',
    float: 'number',
}


def described(docstring: str | None, section: str) -> dict[str, str]:
    """Return the entries of a section of a docstring.

    Args:
        docstring: A docstring in Google style, with sections like this one.
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
            entries[name] = head[2] if head else f'{entries[name]} {line.strip()}'
    return {name: _markdown(text) for name, text in entries.items()}


def _markdown(text: str) -> str:
    text = re.sub(r':\w+:`~?\.?([\w.]+)`', r'`\1`', text)
    # Texts need no quotes in YAML.
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
    """Return the table rows of the keys of a dataclass.

    Args:
        cls: A dataclass; its docstring and those of its bases describe every field under
            ``Attributes``.
        without: A dataclass whose fields are left out.
        prefix: Prefix of each key.

    Returns:
        Key, type, default, meaning.

    Raises:
        KeyError: A field has no description.
    """
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts.update(described(base.__doc__, 'Attributes'))
    types = typing.get_type_hints(cls)
    excluded = set() if without is None else {field.name for field in dataclasses.fields(without)}
    rows = []
    for field in dataclasses.fields(cls):
        if field.name in excluded:
            continue
        hint = types[field.name]
        # Hints are plain types, or unions; None is said by the default.
        kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not type(None)]
        kind = ' or '.join(_TYPES[each] for each in kinds)
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default in ([], {}):  # option files write an empty value as ~
            default = None
        key = f'`{prefix}{field.name}`'
        rows.append((key, kind, _value(default), texts[field.name]))
    return rows


def arguments(cls: type[Any]) -> list[tuple[str, str, str]]:
    """Return the table rows of the arguments of a network or a loss.

    Args:
        cls: A class whose docstring describes every argument under ``Args``.

    Returns:
        Key, default, meaning.

    Raises:
        KeyError: An argument has no description.
    """
    texts = described(cls.__doc__, 'Args')
    return [
        (f'`{name}`', _value(parameter.default), texts[name])
        for name, parameter in inspect.signature(cls).parameters.items()
    ]


def reference() -> str:
    """Return the text of ``docs/options.md`` (Markdown)."""
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
        '## Names\n\nThese names are registered in BasicSR, as values of `model_type` and of the '
        '`type` of networks, losses and datasets.\n\n',
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
                    f'A teacher that is {kind.noun} has these keys instead.\n\n',
                    _table(keys(kind, prefix='teachers.NAME.')),
                ]
    parts += [
        '## `train.kd`\n\nAll methods have these keys; [methods.md](methods.md) describes the '
        'methods.\n\n',
        _table(keys(KDOptions, prefix='train.kd.')),
        f'Methods that compare features ({", ".join(features)}) also have these.\n\n',
        _table(keys(FeatureOptions, KDOptions, 'train.kd.')),
    ]
    for name, method in METHODS.items():
        common = FeatureOptions if issubclass(method.Options, FeatureOptions) else KDOptions
        rows = keys(method.Options, common, 'train.kd.')
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
        'An entry of `when` has these keys.\n\n',
        _table(keys(Condition)),
    ]
    return ''.join(parts).rstrip('\n') + '\n'
