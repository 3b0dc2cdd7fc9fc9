"""The option files that ``mtkd distill`` writes, to be used by hand as well."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..options import network_templates
from ..options.section_templates import HEADER, METRICS, PATH, block, loss
from .settings import Settings

FUSION = 'distill_fusion'
STUDENT = 'distill_student'
REFERENCE_TEACHERS = ('swinir', 'edsr', 'rcan')

_DATA = """# dataset and data loader settings
datasets:
  train:
    name: photographs
    type: DistillImageDataset
    target_cache: {cache}
    dataroot_gt: {train_gt}
    dataroot_lq: {train_lq}
    filename_tmpl: '{{}}'
    io_backend:
      type: disk

    gt_size: {gt_size}
    use_hflip: true
    use_rot: true

    # data loader
    num_worker_per_gpu: {workers}
    batch_size_per_gpu: {batch}
    dataset_enlarge_ratio: 100
    prefetch_mode: ~

  val:
    name: photographs
    type: PairedImageDataset
    dataroot_gt: {val_gt}
    dataroot_lq: {val_lq}
    io_backend:
      type: disk

"""

# Small: next to the mix of the teachers it adds little, see docs/methods.md.
_FUSION_NETWORK = """type: DCTSwin
upscale: {scale}
in_chans: {channels}  # 3 for each teacher
num_out_ch: 3
img_size: 24
window_size: 8
img_range: 1.
depths: [2, 2]
embed_dim: 32
num_heads: [4, 4]
mlp_ratio: 2
drop_path_rate: 0.
upsampler: pixelshuffle
resi_connection: 1conv
dct_norm: ortho
shift_mask: none
skip: adaptive
"""

_SCHEDULE = """# training settings
train:
{speed}  ema_decay: {decay}
  optim_g:
    type: Adam
    lr: !!float {rate}
    weight_decay: 0
    betas: [0.9, 0.99]

  scheduler:
    type: CosineAnnealingRestartLR
    periods: [{period}]
    restart_weights: [1]
    eta_min: !!float 1e-6

  total_iter: {iterations}{comment}
  warmup_iter: -1

"""

_VALIDATION = """
# validation settings
val:
  val_freq: {frequency}
  save_img: false

"""

_LOGGING = """
# logging settings
logger:
  print_freq: {print_frequency}
  save_checkpoint_freq: {frequency}
  use_tb_logger: false
  wandb:
    project: ~
    resume_id: ~
"""


# Learning rates for the batches below, which fall to nothing along a cosine.
_RATE = '5e-4'
_RATES = {'rcan': '3e-4'}


@dataclass(frozen=True)
class Batch:
    """The batches of a training.

    Attributes:
        size: Number of patches.
        lq_size: Their side in low-resolution pixels.
        workers: Number of processes that load them.
    """

    size: int
    lq_size: int
    workers: int


# A CPU has no use for large batches, and a GPU none for small ones.
BATCHES = {'cpu': Batch(4, 24, 0), 'cuda': Batch(16, 32, 6)}


def teacher_names(files: Sequence[str]) -> dict[str, str]:
    """Return names for the teachers in an option file, by the names of their files.

    Args:
        files: Weight files; none for the reference teachers.

    Returns:
        Name -> ``weights``.
    """
    if not files:
        return {name: f'reference:{name}_x4' for name in REFERENCE_TEACHERS}
    found: dict[str, str] = {}
    for file in files:
        name = re.sub(r'\W+', '_', Path(file).stem).strip('_').lower() or 'teacher'
        if name[0].isdigit():
            name = f'teacher_{name}'
        number = 2
        unique = name
        while unique in found:
            unique = f'{name}_{number}'
            number += 1
        found[unique] = file
    return found


def _quoted(path: Path | str) -> str:
    """Return a path as a YAML string; a JSON string is one, whatever is in it."""
    return json.dumps(str(path), ensure_ascii=False)


def _teachers(teachers: Mapping[str, str]) -> str:
    entries = [block(name, f'weights: {_quoted(file)}\n', 1) for name, file in teachers.items()]
    head = '# the teachers, frozen; their files record their networks\nteachers:\n'
    return head + ''.join(entries)


def data_folders(out: Path, scale: int, part: str) -> tuple[Path, Path]:
    """Return the folders of ground truths and low-resolution images.

    Args:
        out: Output folder.
        scale: Scale.
        part: ``'train'`` or ``'val'``.
    """
    folder = out / 'data' / part
    return folder / f'GTmod{scale}', folder / f'LRbicx{scale}'


def weights_of(out: Path, name: str) -> Path:
    """Return where a training saves its network."""
    return out / 'experiments' / name / 'models' / 'net_g_latest.pth'


def _data(settings: Settings, out: Path, batch: Batch, cache: str) -> str:
    train_gt, train_lq = data_folders(out, settings.scale, 'train')
    val_gt, val_lq = data_folders(out, settings.scale, 'val')
    return _DATA.format(
        cache=_quoted(out / cache),
        train_gt=_quoted(train_gt),
        train_lq=_quoted(train_lq),
        val_gt=_quoted(val_gt),
        val_lq=_quoted(val_lq),
        gt_size=batch.lq_size * settings.scale,
        workers=batch.workers,
        batch=batch.size,
    )


def _fusion_network(settings: Settings, teachers: Mapping[str, str]) -> str:
    return _FUSION_NETWORK.format(scale=settings.scale, channels=3 * len(teachers))


def fusion_file(settings: Settings, out: Path, teachers: Mapping[str, str], batch: Batch) -> str:
    """Return the option file of stage 1, which fits the mix of the teachers.

    Args:
        settings: Student, scale and all else.
        out: Output folder.
        teachers: Name -> weight file, at least two.
        batch: The batches.
    """
    head = (
        f'# MTKD, stage 1, x{settings.scale}: the best mix of the teachers, in closed form.\n'
        f'#   cd {out}\n'
        f'#   mtkd cache -opt options/{FUSION}.yml\n'
        f'#   mtkd train -opt options/{FUSION}.yml\n'
    )
    schedule = _SCHEDULE.format(
        speed='',
        decay=0,
        rate='2e-4',
        period=1000,
        iterations=0,
        comment='  # fits the mix and trains nothing; for a training, set periods as well',
    )
    return (
        head
        + HEADER.format(name=FUSION, model='MTKDFusionModel', scale=settings.scale)
        + _data(settings, out, batch, f'teachers_x{settings.scale}.lmdb')
        + _teachers(teachers)
        + '\n# network structures\n'
        + block('network_g', _fusion_network(settings, teachers))
        + '\n'
        + PATH
        + schedule
        + loss('pixel_opt', 'against the ground truth', 'L1Loss', '1.0')
        + _VALIDATION.format(frequency='!!float 1e9')
        + METRICS.format(scale=settings.scale)
        + _LOGGING.format(print_frequency=20, frequency=1000)
    )


def student_file(
    settings: Settings,
    out: Path,
    teachers: Mapping[str, str],
    batch: Batch,
    iterations: int,
) -> str:
    """Return the option file of stage 2, the training of the student.

    A single teacher is not fused: the student learns from it directly, with the same losses.

    Args:
        settings: Student, scale and all else.
        out: Output folder.
        teachers: Name -> weight file.
        batch: The batches.
        iterations: Number of iterations.
    """
    fused = len(teachers) > 1
    description, _ = network_templates.STUDENTS[settings.student]
    source = f'the mix of {len(teachers)} teachers' if fused else 'a teacher'
    head = (
        f'# MTKD, stage 2, x{settings.scale}: {description} learns from {source}.\n'
        f'#   cd {out}\n'
        f'#   mtkd train -opt options/{STUDENT}.yml --auto_resume\n'
        f'#   mtkd upscale --weights experiments/{STUDENT}/models/net_g_latest.pth PICTURE\n'
    )
    cache = f'target_x{settings.scale}.lmdb' if fused else f'teachers_x{settings.scale}.lmdb'
    fusion = ''
    if fused:
        weights = f'weights: {_quoted(weights_of(out, FUSION))}\n'
        fusion = '# the fusion network, frozen\n' + block(
            'fusion', block('network', _fusion_network(settings, teachers)) + weights
        )
    frequency = max(1, iterations // 10)
    channels_last = '' if settings.student == 'swinir' else '  channels_last: true\n'
    schedule = _SCHEDULE.format(
        speed=network_templates.start(settings.student) + '  amp: auto\n' + channels_last,
        decay=0.999,
        rate=_RATES.get(settings.student, _RATE),
        period=iterations,
        iterations=iterations,
        comment='',
    )
    method = '' if fused else '  kd: {type: LogitKD}\n'
    network = network_templates.student(settings.student, settings.scale)
    return (
        head
        + HEADER.format(
            name=STUDENT, model='MTKDModel' if fused else 'KDModel', scale=settings.scale
        )
        + _data(settings, out, batch, cache)
        + _teachers(teachers)
        + '\n'
        + fusion
        + '\n# network structures\n'
        + block('network_g', network, comment='  # the student')
        + '\n'
        + PATH
        + schedule
        + method
        + loss('pixel_opt', 'against the ground truth', 'L1Loss', '0.1')
        + loss(
            'distill_opt',
            f'against {source}',
            'WaveletLoss',
            '1.0',
            'level: 1',
            'wave: haar',
        )
        + _VALIDATION.format(frequency=frequency)
        + METRICS.format(scale=settings.scale)
        + _LOGGING.format(print_frequency=max(1, min(100, iterations // 20)), frequency=frequency)
    )
