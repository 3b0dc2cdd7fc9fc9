"""Our blocks of an option file as frozen dataclasses. BasicSR's own keys are left to BasicSR."""

# `config.parsing` compares values with the annotations of the fields: plain types, without
# parameters.
# mypy: disable-error-code="type-arg"

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileOptions:
    """Our blocks of an option file.

    Attributes:
        teachers: Names, each with a network and its weights. Every model needs them but
            ``KDModel`` with ``Scratch``; testing a student needs none.
        fusion: The trained fusion network, for the method ``MTKD``.
    """

    teachers: dict | None = None
    fusion: dict | None = None


@dataclass(frozen=True)
class DatasetOptions:
    """Our key of ``datasets.train``, with ``type: DistillImageDataset``.

    Attributes:
        target_cache: LMDB that ``mtkd cache`` makes. Where there is none the teachers run at
            every step.
    """

    target_cache: str | None = None


@dataclass(frozen=True)
class TrainOptions:
    """Our keys of ``train``.

    Attributes:
        pixel_opt: Loss against the ground truth: ``type`` and arguments of a loss that BasicSR
            knows.
        distill_opt: Loss against the target: the fused image, or the output of one teacher.
            ``MTKD`` and ``LogitKD`` need it.
        kd: The method, with its keys. ``MTKDModel`` takes ``{type: MTKD}`` where it is left out.
        mix_batches: Stage 1 with ``skip: learned`` or ``adaptive``: number of first batches
            from which the best mix of the teachers is computed. 0 starts at their mean.
        max_skipped: A step with a loss that is not finite is skipped and logged; training stops
            after more than so many in a row.
    """

    pixel_opt: dict
    distill_opt: dict | None = None
    kd: dict | None = None
    mix_batches: int = 0
    max_skipped: int = 10


@dataclass(frozen=True)
class LoggerOptions:
    """Our key of ``logger``.

    Attributes:
        keep_last: How many checkpoints with their training states stay, the newest; ``~`` keeps
            all. ``net_g_latest.pth`` and ``net_g_best.pth``, the one with the best PSNR on the
            first validation set, stay in any case.
    """

    keep_last: int | None = None


@dataclass(frozen=True)
class KDOptions:
    """``train.kd``: the keys that every distillation method has. Most have more, in
    ``distillers/``.

    Attributes:
        type: Name of the method.
        teacher: Which of ``teachers`` a method with one teacher learns from, those in ``also``
            too; ``~`` takes the only one.
        also: Methods whose losses are added: names, or mappings with ``type`` and keys.
    """

    type: str
    teacher: str | None = None
    also: list | None = None


@dataclass(frozen=True)
class ValOptions:
    """Our keys of ``val``: tiled inference.

    Attributes:
        tile: Height and width of tiles in low-resolution pixels, for images that do not fit
            into memory; ``~`` takes whole images.
        tile_overlap: What neighbouring tiles share, in low-resolution pixels.
    """

    tile: int | None = None
    tile_overlap: int = 16


@dataclass(frozen=True)
class SpeedOptions:
    """Our keys of ``train`` that make it faster; with their defaults nothing changes by a bit.

    Attributes:
        amp: What the student runs in: ``bf16`` for bfloat16 autocast, ``fp32``, or ``auto``:
            bf16 where CPU or GPU have it natively, else fp32; ``~`` is fp32.
        teacher_precision: The same for teachers and fusion network in the training, with
            channels_last where it is bf16; ``~`` is ``auto`` on a GPU and ``fp32`` on a CPU.
        channels_last: The student's images and weights lie in memory with the channels of a
            pixel side by side, which convolutions are faster with.
        compile: The student is compiled by ``torch.compile``.
    """

    amp: str | None = None
    teacher_precision: str | None = None
    channels_last: bool = False
    compile: bool = False


# Keys that we add to blocks which otherwise belong to BasicSR: a near miss of one of them is a
# typing error.
PLUGIN_KEYS: dict[str, tuple[type[Any], ...]] = {
    '': (FileOptions,),
    'datasets.train': (DatasetOptions,),
    'train': (TrainOptions, SpeedOptions),
    'val': (ValOptions,),
    'logger': (LoggerOptions,),
}
