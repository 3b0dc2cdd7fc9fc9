"""``mtkd options``: writes the option files of the paper, or the table of all option keys."""

import argparse
from pathlib import Path

from ...errors import OptionError
from .._arguments import make_folder
from .file_heads import content
from .paper_files import files


def options(args: argparse.Namespace) -> None:
    """Write the option files of the paper, or print what their keys mean.

    The files are those of both stages of MTKD, of the baselines, and of testing.

    Files that are there and say the same are left as they are, whatever version has written them.
    One that says something else is an error, and nothing is written, unless ``--overwrite`` asks
    for it.

    Args:
        args: What :func:`add_arguments` has parsed.

    Raises:
        OptionError: a file of the same name says something else.
    """
    if args.reference:
        # It reads what the methods say of themselves, and imports them.
        from .key_reference import reference

        print(reference(), end='')
        return
    out = Path(args.out)
    texts = files(args.student, args.scale, args.method)
    present = [path for path in texts if (out / path).exists()]
    others = [
        path
        for path in present
        if content((out / path).read_text(encoding='utf-8')) != content(texts[path])
    ]
    if others and not args.overwrite:
        more = f' and {len(others) - 3} more' if len(others) > 3 else ''
        raise OptionError(
            f"--out: '{out}' has other files of these names: {', '.join(others[:3])}{more}; "
            'nothing was written, '
            'choose another folder, move them, or replace them with --overwrite'
        )
    for path, text in texts.items():
        if path in present and not args.overwrite:
            continue
        make_folder((out / path).parent)
        (out / path).write_text(text, encoding='utf-8')
    print(f"{len(texts)} option files in '{out}'")
