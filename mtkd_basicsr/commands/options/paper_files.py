"""The texts of the paper's option files."""

from collections.abc import Collection, Iterable

from . import network_templates
from .baselines import DUKD_WEIGHTS, ENCODER_WEIGHTS, METHODS
from .file_heads import commands, first_line, selection
from .section_templates import (
    DATA,
    HEADER,
    LOGGING,
    METRICS,
    PATH,
    SCHEDULE,
    TEST_SET,
    VALIDATION,
    block,
    loss,
)

SCALES = (2, 3, 4)
TEACHERS = ('swinir', 'edsr', 'rcan')
TEST_SETS = ('Set5', 'Set14', 'B100', 'Urban100')
# Sides of patches in low-resolution pixels, the same at every scale. At ×4 gt_size is 256 and 128,
# as in the paper.
_FUSION_PATCH = 64
_STUDENT_PATCH = 32
_RATE = '2e-5  # of the paper, for 500,000 iterations; for fewer take more: docs/parts.md'

_PAPER = (
    'Jiang, Feng, Zhang, Bull: Multi-Teacher Knowledge Distillation for Image Super-Resolution, '
    'ECCV 2024'
)
_SAME = (
    "# Data, schedule (lr 2e-5, 500,000 iterations, batch 16) and patches are those of MTKD's "
    'stage 2 in all files, whatever a\n'
    '# method was published with: only the method differs.\n'
)


def _data(scale: int, patch: int, cache: str) -> str:
    return DATA.format(scale=scale, gt_size=patch * scale, cache=cache)


def _teachers(names: Iterable[str], scale: int, comment: str) -> str:
    parts = []
    for name in names:
        network, weights = network_templates.teacher(name, scale)
        parts.append(block(name, block('network', network) + f'weights: {weights}\n', 1))
    return f'# {comment}\nteachers:\n' + ''.join(parts) + '\n'


def _student(name: str, scale: int) -> str:
    return (
        '# network structures\n'
        + block('network_g', network_templates.student(name, scale), comment='  # the student')
        + '\n'
    )


def fusion_file(scale: int) -> tuple[str, str]:
    """Return the path and text of the option file of MTKD's stage 1."""
    path = f'fusion_x{scale}.yml'
    head = (
        f'# MTKD, stage 1 (knowledge aggregation), x{scale}: a DCT-Swin network learns to fuse the '
        'outputs of three frozen teachers.\n' + commands(path) + f'# {_PAPER}\n'
    )
    cache = (
        f'datasets/DIV2K/teachers_x{scale}.lmdb  # of mtkd cache; without it the teachers run at '
        'every step'
    )
    comment = (
        'the teachers, frozen. Their names go into the checkpoint of the fusion network: stage 2 '
        'finds them by name'
    )
    losses = (
        loss('pixel_opt', 'against the ground truth', 'L1Loss', '1.0') + '\n'
        '  mix_batches: 50  # skip: adaptive starts at the best mix of the teachers on these first '
        'batches. 0: at their mean\n'
        '  # total_iter: 0 trains nothing: it fits the mix to all images, in minutes, see '
        'docs/methods.md\n'
    )
    return path, (
        head
        + HEADER.format(name=f'MTKD_fusion_x{scale}', model='MTKDFusionModel', scale=scale)
        + _data(scale, _FUSION_PATCH, cache)
        + _teachers(TEACHERS, scale, comment)
        + '# network structures\n'
        + block('network_g', network_templates.fusion(scale))
        + '\n'
        + PATH
        + SCHEDULE.format(start='', rate='2e-4')
        + losses
        + VALIDATION.format(scale=scale)
        + LOGGING
    )


def mtkd_file(student: str, scale: int) -> tuple[str, str]:
    """Return the path and text of the option file of MTKD's stage 2."""
    path = f'mtkd_{student}.yml' if scale == 4 else f'mtkd_{student}_x{scale}.yml'
    text, name = network_templates.STUDENTS[student]
    head = (
        f'# MTKD, stage 2 (model distillation), x{scale}: {text} learns from the fused output of '
        'three frozen teachers.\n'
        f'# The fusion network is trained before, by options/fusion_x{scale}.yml.\n'
        + commands(path)
        + f'# {_PAPER}\n'
    )
    cache = (
        f'datasets/DIV2K/mtkd_x{scale}.lmdb  # of mtkd cache; without it the teachers run at every '
        'step'
    )
    comment = (
        'the teachers, frozen. Their order does not matter: the checkpoint of the fusion network '
        'knows them by name'
    )
    fusion = (
        block('network', network_templates.fusion(scale))
        + f'weights: experiments/MTKD_fusion_x{scale}/models/net_g_latest.pth\n'
    )
    losses = loss('pixel_opt', 'against the ground truth', 'L1Loss', '0.1') + loss(
        'distill_opt',
        'against the fused output of the teachers',
        'WaveletLoss',
        '1.0',
        'level: 1',
        'wave: haar',
    )
    return path, (
        head
        + HEADER.format(
            name=f'MTKD_{name.format(scale=scale)}_DIV2K', model='MTKDModel', scale=scale
        )
        + _data(scale, _STUDENT_PATCH, cache)
        + _teachers(TEACHERS, scale, comment)
        + '# the fusion network, frozen\n'
        + block('fusion', fusion)
        + '\n'
        + _student(student, scale)
        + PATH
        + SCHEDULE.format(start=network_templates.start(student), rate=_RATE)
        + losses
        + VALIDATION.format(scale=scale)
        + LOGGING
    )


def baseline_file(method: str, student: str, scale: int) -> tuple[str, str]:
    """Return the path and text of the option file of a baseline.

    The teacher has the arch of the student.
    """
    path = f'baselines/{method}_{student}_x{scale}.yml'
    kind, source, paper = METHODS[method]
    text, name = network_templates.STUDENTS[student]
    head = (
        f'# {kind}, x{scale}: {text} learns from {source}.\n'
        + commands(path)
        + f'# {paper}\n'
        + _SAME
    )
    cache = (
        f'datasets/DIV2K/teachers_x{scale}.lmdb  # of mtkd cache -opt options/fusion_x{scale}.yml; '
        'only its images are used, and without it they are decoded for every patch'
    )
    teachers = ''
    if method != 'scratch':
        cache = (
            f'datasets/DIV2K/teachers_x{scale}.lmdb  # of mtkd cache -opt '
            f'options/fusion_x{scale}.yml; without it all of the teacher runs at every step'
        )
        teachers = _teachers(
            (student,),
            scale,
            'the teacher, frozen. Where there are several, train.kd.teacher names one of them',
        )
    return path, (
        head
        + HEADER.format(
            name=f'{kind}_{name.format(scale=scale)}_DIV2K', model='KDModel', scale=scale
        )
        + _data(scale, _STUDENT_PATCH, cache)
        + teachers
        + _student(student, scale)
        + PATH
        + SCHEDULE.format(start='', rate=_RATE)
        + _baseline_losses(method, student, scale)
        + VALIDATION.format(scale=scale)
        + LOGGING
    )


def _baseline_losses(method: str, student: str, scale: int) -> str:
    """Return the losses of a baseline, and its ``train.kd``."""
    truth = 1.0
    target = 1.0
    keys = [f'type: {METHODS[method][0]}']
    if method != 'scratch':
        keys.append(f'teacher: {student}')
    if method == 'fakd':
        truth = 0.5
        target = 0.5
        keys.append(
            'weight: 0.0392156862745098  # 10 / 255: 10 in the paper, for images in [0, 255]'
        )
    elif method == 'dukd':
        truth, zoom_out = DUKD_WEIGHTS.get((student, scale), DUKD_WEIGHTS[student, None])
        if zoom_out:
            keys.append('zoom_out: true')
    elif method == 'dckd':
        keys += [
            'form: paper  # code: with the loss of augmented inputs, as in the option files of the '
            'authors',
            'encoder: VQGAN',
            f'encoder_weights: {ENCODER_WEIGHTS}  # ckpts/last.ckpt of '
            'https://heibox.uni-heidelberg.de/d/8088892a516d4e3baf92/',
        ]
    if method in ('at', 'fakd'):
        of_student, of_teacher = network_templates.POSITIONS[student]
        keys += [
            '# where features are read, as outputs of modules or the input of one; these are the '
            'defaults',
            f'# student_features: {of_student}',
            f'# teacher_features: {of_teacher}',
        ]
    losses = loss('pixel_opt', 'against the ground truth', 'L1Loss', truth)
    if method != 'scratch':
        losses += loss('distill_opt', 'against the output of the teacher', 'L1Loss', target)
    return losses + block('kd', '\n'.join(keys) + '\n', 1)


def test_file(student: str, scale: int) -> tuple[str, str]:
    """Return the path and text of the file that tests a student on the paper's four test sets."""
    path = f'test/{student}_x{scale}.yml'
    text, name = network_templates.STUDENTS[student]
    trained = f'MTKD_{name.format(scale=scale)}_DIV2K'
    head = (
        f'# Testing {text}, x{scale}, on the four test sets of the paper. No teacher is needed.\n'
        + commands(path, 'test')
    )
    sets = ''.join(
        TEST_SET.format(number=i + 1, name=test_set, scale=scale)
        for i, test_set in enumerate(TEST_SETS)
    )
    paths = (
        f'# path\npath:\n  pretrain_network_g: experiments/{trained}/models/net_g_latest.pth\n'
        '  param_key_g: params_ema\n  strict_load_g: true\n\n'
    )
    validation = (
        '# validation settings\nval:\n  save_img: true\n  suffix: ~  # add suffix to saved images, '
        'if None, use exp name\n'
        '  tile: ~           # a number of low-resolution pixels, for images that do not fit into '
        'memory\n  tile_overlap: 16\n\n'
    )
    return path, (
        head
        + HEADER.format(name=f'test_{trained}', model='KDModel', scale=scale).replace(
            'manual_seed: 0\n', ''
        )
        + '# dataset settings\ndatasets:\n'
        + sets
        + _student(student, scale)
        + paths
        + validation
        + METRICS.format(scale=scale)
    )


def files(
    students: Collection[str] = tuple(network_templates.STUDENTS),
    scales: Iterable[int] = SCALES,
    methods: Collection[str] = ('mtkd', *METHODS),
) -> dict[str, str]:
    """Return the option files of the paper, and those of fast students beside them.

    Args:
        students: Names from ``STUDENTS``. Baselines are written for those of the paper, which
            have a teacher of their own arch.
        scales: 2, 3 or 4.
        methods: ``mtkd`` (both stages) and names from ``METHODS``.

    Returns:
        Path in ``options/`` -> text.
    """
    found: dict[str, str] = {}

    def add(file: tuple[str, str], method: str | None, student: str | None = None) -> None:
        path, text = file
        found[path] = first_line(selection(scale, method, student)) + text

    for scale in scales:
        if 'mtkd' in methods:
            add(fusion_file(scale), 'mtkd')
        for student in students:
            if 'mtkd' in methods:
                add(mtkd_file(student, scale), 'mtkd', student)
            for method in METHODS:
                if method in methods and student in network_templates.POSITIONS:
                    add(baseline_file(method, student, scale), method, student)
            add(test_file(student, scale), None, student)
    return found
