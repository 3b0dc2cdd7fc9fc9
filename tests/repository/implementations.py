"""Things that are implemented in one place alone."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from source_tree import FILES, PACKAGE, place, tree_of


@dataclass(frozen=True)
class Allowed:
    """An expression that looks like another implementation, and is right where it is.

    Attributes:
        file: Below the package.
        sign: A regular expression for the source of it.
        reason: Why it is right.
    """

    file: str
    sign: str
    reason: str


@dataclass(frozen=True)
class Implementation:
    """Something that has to be implemented in one place.

    Attributes:
        name: Of it.
        home: The place, a file below the package.
        signs: Regular expressions, one of which is found in every implementation; each is compared
            with the source of single calls and operations, never with comments and texts.
        allowed: What has such a sign elsewhere.
    """

    name: str
    home: str
    signs: tuple[str, ...]
    allowed: tuple[Allowed, ...] = ()


ONE_PLACE = (
    Implementation(
        'image ↔ tensor',
        'utils/image_tensors.py',
        (
            r'.*\.(permute|transpose)\(\(?(2, 0, 1|1, 2, 0|2, 1, 0)\)?\)',
            r'.*\.movedim\((-1, -3|-3, -1)\).*',
            r'(\w+\.)*(img2tensor|tensor2img)\(.*',
            r'.+ [*/] (255|65535)(\.0?)?',
            r'(255|65535)(\.0?)? \* .+',
            r'np\.(divide|multiply)\(.*255.*',
        ),
        (
            Allowed(
                'data/distill_dataset.py',
                r'np\.divide\(.*|image\.transpose\(.*',
                'flips and converts crops of a memory map in one pass, which is faster; '
                'test_cache.py compares it with what BasicSR makes of the files',
            ),
            Allowed(
                'host/resize.py',
                r'image\.astype\(np\.float64\) / 255|np\.clip\(resized, 0, 1\) \* 255',
                "BasicSR's imresize in float64, as MATLAB does it: from array to array",
            ),
            Allowed(
                'utils/images.py',
                r'np\.array\(\[\[24\.966, .*',
                'the weights of the luma of ITU-R BT.601',
            ),
            Allowed(
                'archs/dct_attention.py',
                r'bias\.view\(.*',
                'the axes of a table of attention biases, not of an image',
            ),
            Allowed(
                'archs/dctswin_arch.py',
                r'y / 255',
                "the range of the authors' outputs, which their weights need",
            ),
            Allowed(
                'distillers/fakd.py', r'10 / 255', 'the weight of the paper, for images in [0, 255]'
            ),
            Allowed(
                'functional/dckd.py',
                r'(1|30) / 255',
                'the strength of the noise of the paper, for images in [0, 255]',
            ),
            Allowed(
                'commands/export/run.py',
                r'\(rounded - full\).*',
                'says a difference of outputs in levels of 8 bits',
            ),
            Allowed(
                'commands/compare/report/crops.py',
                r'crop / 255',
                'the range of arrays that matplotlib shows',
            ),
        ),
    ),
    Implementation(
        'atomic write',
        'utils/atomic.py',
        (r'os\.(replace|rename|link)\(.*', r'.*\w\.(replace|rename)\([^,]*\)'),
        (
            Allowed(
                'data/cache/writer.py',
                r'os\.replace\(data_file\(.*',
                'puts a finished cache, which was written and synced long before, in place',
            ),
            Allowed(
                'data/sample_photographs.py',
                r'os\.rename\(temporary, target\)',
                'a folder gets its name when all of its files are there',
            ),
            Allowed(
                'commands/_records.py',
                r'folder\.rename\(next\(.*',
                'moves a folder of other options out of the way',
            ),
        ),
    ),
    Implementation('PSNR', 'utils/images.py', (r'(\w+\.)*log10\(.*',)),
    Implementation(
        'image decoding',
        'utils/images.py',
        (r'(\w+\.)*(imdecode|imread|imfrombytes)\(.*', r'Image\.open\(.*'),
        (
            Allowed(
                'commands/upscale/names.py',
                r'Image\.open\(path\)',
                'tells by the head of a file whether it is a picture',
            ),
            Allowed(
                'utils/image_head.py',
                r'Image\.open\(file\)',
                'reads the head of a file alone, without its pixels',
            ),
            Allowed(
                'utils/image_damage.py',
                r'Image\.open\(io\.BytesIO\(\w+\)\)',
                'decodes to see whether a file is whole',
            ),
            Allowed(
                'utils/picture.py',
                r'Image\.open\(io\.BytesIO\(data\)\)',
                'pictures as people have them, not those of a training',
            ),
        ),
    ),
)


def _signs_of(thing: Implementation) -> Iterator[tuple[str, str, str]]:
    """Return the places where something is implemented, as it looks: file, ``file:line``, and the
    source of the expression.
    """
    signs = [re.compile(sign, re.DOTALL) for sign in thing.signs]
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call | ast.BinOp):
                source = ast.unparse(node)
                if any(sign.fullmatch(source) for sign in signs):
                    yield path.relative_to(PACKAGE).as_posix(), place(path, node), source


def implementations(thing: Implementation) -> dict[str, list[str]]:
    """Return the files that implement something, what is allowed left out.

    Returns:
        By file below the package: ``file:line`` of each sign.
    """
    found: dict[str, list[str]] = {}
    for file, where, source in _signs_of(thing):
        is_allowed = any(
            allowed.file == file and re.fullmatch(allowed.sign, source, re.DOTALL)
            for allowed in thing.allowed
        )
        places = found.setdefault(file, [])
        if not is_allowed and where not in places:
            places.append(where)
    return {file: places for file, places in found.items() if places}


def unused_exceptions(thing: Implementation) -> list[Allowed]:
    """Return what is allowed, and not there any more."""
    signs = list(_signs_of(thing))
    return [
        allowed
        for allowed in thing.allowed
        if not any(
            allowed.file == file and re.fullmatch(allowed.sign, source, re.DOTALL)
            for file, _, source in signs
        )
    ]
