"""The keys that this package adds to an option file, as frozen dataclasses.

BasicSR's own keys are left to BasicSR.
"""

# `config.parsing` checks values against the annotations, which therefore are plain types without
# parameters.
# mypy: disable-error-code="type-arg"

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileOptions:
    """The blocks that this package adds to an option file.

    Attributes:
        teachers: Mapping of names to entries with a network and its weights. Every training
            needs teachers except ``KDModel`` with ``Scratch``; testing a student needs none.
        fusion: The trained fusion network, for the method ``MTKD``.
    """

    teachers: dict | None = None
    fusion: dict | None = None


@dataclass(frozen=True)
class DatasetOptions:
    """The key that this package adds to ``datasets.train``, with ``type: DistillImageDataset``.

    Attributes:
        target_cache: LMDB written by ``mtkd cache``; ``~`` and ``$NAME`` are replaced. If it does
            not exist, the teachers run at every step.
    """

    target_cache: str | None = None


@dataclass(frozen=True)
class TrainOptions:
    """The keys that this package adds to ``train``.

    Attributes:
        pixel_opt: Loss against the ground truth: ``type`` and arguments of a loss registered in
            BasicSR.
        distill_opt: Loss against the target, which is the fused image or the output of one
            teacher. ``MTKD`` and ``LogitKD`` need it.
        kd: The method, with its keys. For ``MTKDModel`` the default is ``{type: MTKD}``.
        mix_batches: Stage 1 with ``skip: learned`` or ``adaptive``: number of first batches
            from which the best mix of the teachers is computed. 0 starts at their mean. With
            BasicSR's ``total_iter: 0`` nothing is trained: the mix is fitted to all images.
        max_skipped: Number of consecutive steps that may be skipped because a loss is not
            finite. Each skipped step is logged; training stops at the next one.
    """

    pixel_opt: dict
    distill_opt: dict | None = None
    kd: dict | None = None
    mix_batches: int = 0
    max_skipped: int = 10


@dataclass(frozen=True)
class StepOptions:
    """The keys that this package adds to ``train`` for its start and the optimizer steps.

    Attributes:
        init: Random weights that a student starts from: ``he`` keeps the size of signals in a chain
            of convolutions without skip connections, such as SRVGGNetCompact, which with its usual
            weights learns nothing for some thousand iterations; for networks with skip connections
            it is too large. ``~`` is the network's own. ``path.pretrain_network_g`` replaces it.
        grad_clip: Largest norm of the gradient of all trained parameters, those of adapters
            included; a larger gradient is scaled down to it, and a step without a finite norm is
            skipped. The log has the norm before, ``grad_norm``. ``~`` does not clip.
        ema_warmup: Whether the moving average of ``ema_decay`` follows the student more closely at
            first: update t keeps ``min(ema_decay, (1 + t) / (10 + t))`` of it. ``false`` is
            BasicSR's average, of which the random start is still 37 % after
            ``1 / (1 - ema_decay)`` iterations.
    """

    init: str | None = None
    grad_clip: float | None = None
    ema_warmup: bool = True


@dataclass(frozen=True)
class LoggerOptions:
    """The key that this package adds to ``logger``.

    Attributes:
        keep_last: Number of newest checkpoints to keep, with their training states; ``~`` keeps
            all. ``net_g_latest.pth`` and ``net_g_best.pth`` (best PSNR on the first validation
            set) are always kept.
    """

    keep_last: int | None = None


@dataclass(frozen=True)
class KDOptions:
    """``train.kd``: the keys of every distillation method.

    Most methods have more keys, defined in ``distillers/``.

    Attributes:
        type: Name of the method.
        teacher: Name of the teacher for methods with one teacher, including those in ``also``;
            ``~`` is the only teacher.
        also: Methods whose losses are added: names, or mappings with ``type`` and keys.
    """

    type: str
    teacher: str | None = None
    also: list | None = None


@dataclass(frozen=True)
class ValOptions:
    """The keys that this package adds to ``val``: tiled inference.

    Attributes:
        tile: Height and width of tiles in low-resolution pixels, for images that do not fit
            into memory; ``~`` runs on whole images.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.
    """

    tile: int | None = None
    tile_overlap: int = 16


@dataclass(frozen=True)
class SpeedOptions:
    """The keys that this package adds to ``train`` for speed.

    On a CPU the defaults do not change a single bit of the result. On a GPU teachers are in bf16
    by default.

    Attributes:
        amp: Precision of the student: ``bf16`` for bfloat16 autocast, ``fp32``, or ``auto``,
            which is bf16 if the CPU or GPU supports it natively, else fp32; ``~`` is fp32.
        teacher_precision: The same for teachers and fusion network during training; with bf16
            they also use channels_last. ``~`` is ``auto`` on a GPU and ``fp32`` on a CPU.
        channels_last: Store the student's images and weights with the channels of a pixel side
            by side, which speeds up convolutions.
        compile: Compile the student with ``torch.compile``. ``reduce-overhead`` in the place of
            ``true`` also records its kernels as CUDA graphs, which are launched as a whole; that
            takes more memory. On a CPU it is the same as ``true``. ``cudagraphs`` compiles nothing
            and records the kernels as they are, those of teachers that run at each step too; on a
            CPU it is the same as ``false``. On a GPU these two need torch 2.6.
    """

    amp: str | None = None
    teacher_precision: str | None = None
    channels_last: bool = False
    compile: bool | str = False


# The keys that this package adds to each block of BasicSR. A key that nearly equals one of them is
# a typing error.
PLUGIN_KEYS: dict[str, tuple[type[Any], ...]] = {
    '': (FileOptions,),
    'datasets.train': (DatasetOptions,),
    'train': (TrainOptions, StepOptions, SpeedOptions),
    'val': (ValOptions,),
    'logger': (LoggerOptions,),
}
