"""Published figures of other methods for the same student, scale and test set."""

from collections.abc import Mapping
from typing import Any

# Name and number of images: a test set of a different size is a different test set.
_SETS = {
    'set5': ('Set5', 5),
    'set14': ('Set14', 14),
    'b100': ('BSD100', 100),
    'bsd100': ('BSD100', 100),
    'urban100': ('Urban100', 100),
}
_ORDER = ('Set5', 'Set14', 'BSD100', 'Urban100')

# Arguments that distinguish a student from others with the same arch.
_STUDENTS: dict[str, dict[str, Any]] = {
    'SwinIR 1.2 M': {
        'type': 'SwinIR',
        'embed_dim': 60,
        'depths': [6] * 4,
        'upsampler': 'pixelshuffle',
    },
    'SwinIR-light 0.9 M': {
        'type': 'SwinIR',
        'embed_dim': 60,
        'depths': [6] * 4,
        'upsampler': 'pixelshuffledirect',
    },
    'RCAN 5.2 M': {'type': 'RCAN', 'num_feat': 64, 'num_group': 10, 'num_block': 6},
    'EDSR 64×16': {'type': 'EDSR', 'num_feat': 64, 'num_block': 16},
}

# student -> scale -> method -> PSNR (dB, Y channel, crop = scale) on Set5, Set14, BSD100,
# Urban100. None: not published.
# MiPKD: ICLR 2025; DCKD: AAAI 2025; DUKD: https://arxiv.org/abs/2309.14162.
_PSNR: dict[str, dict[int, dict[str, tuple[float | None, ...]]]] = {
    'SwinIR 1.2 M': {
        4: {
            'scratch': (32.31, 28.67, 27.61, 26.15),
            'LogitKD': (32.27, 28.67, 27.62, 26.15),
            'FAKD': (32.22, 28.65, 27.61, 26.09),
            'MiPKD': (32.39, 28.76, 27.68, 26.37),
            'DUKD': (None, None, None, 26.43),
            'DCKD': (32.49, 28.82, 27.72, 26.53),
            'DCKD + DUKD': (32.51, 28.88, 27.74, 26.62),
        }
    },
    'RCAN 5.2 M': {
        4: {
            'scratch': (32.38, 28.69, 27.63, 26.36),
            'LogitKD': (32.45, 28.76, 27.67, 26.49),
            'FAKD': (32.46, 28.77, 27.68, 26.50),
            'MiPKD': (32.46, 28.77, 27.69, 26.55),
            'DUKD': (None, None, None, 26.62),
            'DCKD': (32.56, 28.82, 27.73, 26.69),
            'DCKD + DUKD': (32.58, 28.86, 27.74, 26.74),
        }
    },
    'EDSR 64×16': {4: {'scratch': (None, 28.58, 27.57, 26.04)}},
    'SwinIR-light 0.9 M': {
        4: {'scratch': (32.44, 28.77, 27.69, 26.47), 'DCKD': (None, 28.88, 27.75, 26.64)}
    },
}


def published(
    arguments: Mapping[str, Any], scale: int, images: dict[str, int]
) -> dict[str, dict[str, float]]:
    """Return the published figures that are comparable with ours.

    Args:
        arguments: Type and arguments of the student, ``network_g``.
        scale: Factor.
        images: Number of images of each test set.

    Returns:
        Method -> test set (by our name) -> PSNR in dB. Empty if nothing was published for the
            student, scale and test sets.
    """
    name = _student_of(arguments)
    columns = {}
    for test_set, count in images.items():
        published_name, published_count = _SETS.get(test_set.lower(), (None, None))
        if published_name is not None and count == published_count:
            columns[test_set] = _ORDER.index(published_name)
    if name is None or not columns:
        return {}
    found = {}
    for method, values in _PSNR.get(name, {}).get(scale, {}).items():
        figures = {}
        for test_set, column in columns.items():
            value = values[column]
            if value is not None:
                figures[test_set] = value
        if figures:
            found[method] = figures
    return found


def _student_of(arguments: Mapping[str, Any]) -> str | None:
    """Return the name of the published student with this ``network_g``, None if there is none."""
    for name, published_arguments in _STUDENTS.items():
        if all(arguments.get(key) == value for key, value in published_arguments.items()):
            return name
    return None
