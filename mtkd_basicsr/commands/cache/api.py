"""``mtkd cache`` as a function."""

from pathlib import Path

from ...utils.choices import TILE_OVERLAP, CacheContents
from .._process import basicsr_ready
from .._validation import Overrides, StrPath
from .arguments import CacheArguments


def cache(
    options_file: StrPath,
    *,
    contents: CacheContents | None = None,
    self_ensemble: bool = False,
    tile: int | None = None,
    tile_overlap: int = TILE_OVERLAP,
    device: str = 'auto',
    precision: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    verify: bool = False,
    outputs_from: StrPath | None = None,
    overrides: Overrides = (),
    safe: bool = False,
) -> Path:
    """Create or resume the target cache of an option file.

    Under ``torchrun`` each process computes its share of the images on its own GPU and writes into
    the same file.

    Args:
        options_file: Option file (YAML); names the cache as ``datasets.train.target_cache``.
        contents: ``'target'``, the fused target (stage 2), or ``'teachers'``, the output of each
            teacher (stage 1); None for what the option file needs.
        self_ensemble: Whether to average over eight flips and rotations (eight times slower).
        tile: Side of a tile in low-resolution pixels; None for whole images, and smaller and
            smaller tiles when GPU memory runs out.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.
        device: ``'auto'``, or a device in PyTorch's notation.
        precision: ``'bf16'``, ``'fp32'``, or ``'auto'``: bf16 where the hardware supports it, else
            fp32. None is ``'auto'`` on a GPU and ``'fp32'`` on a CPU; a resumed cache keeps its
            own.
        workers: Number of processes that decode images; 0 decodes them in this process. None takes
            up to four, as many as cores and shared memory allow.
        overwrite: Whether to replace a cache made with other options, and to recompute damaged
            images, and those with other contents now, of one made with the same options.
        verify: Whether to read a complete cache, compare it with its checksums and with the images
            of the data set, and compute nothing.
        outputs_from: Cache of stage 1, made with the same teachers and images: fused targets are
            computed from the outputs in it, and no teacher runs. They are rounded to 8 bits, so
            that the targets differ a little; the key of the cache says so.
        overrides: Options that replace those of the file: values by keys such as
            ``'datasets:train:target_cache'``, or texts such as ``'scale=2'``.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.

    Returns:
        The cache; under ``torchrun`` it is complete when all processes have ended.

    Raises:
        MTKDError: An argument, an option, weights or images are invalid, the path holds a cache
            made with other options, or the verified cache is damaged.
    """
    arguments = CacheArguments(
        options_file=options_file,
        contents=contents,
        self_ensemble=self_ensemble,
        tile=tile,
        tile_overlap=tile_overlap,
        device=device,
        precision=precision,
        workers=workers,
        overwrite=overwrite,
        verify=verify,
        outputs_from=outputs_from,
        overrides=overrides,
        safe=safe,
    )
    with basicsr_ready():
        from .targets import run

        return run(arguments)
