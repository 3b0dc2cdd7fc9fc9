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
    workers: int = 1,
    overwrite: bool = False,
    verify: bool = False,
    overrides: Overrides = (),
    safe: bool = False,
) -> Path:
    """Make the target cache of an option file, or go on making it.

    Under ``torchrun`` each process does its share of the images, on its own GPU, into the same
    file.

    Args:
        options_file: Option file (YAML); names the cache as ``datasets.train.target_cache``.
        contents: ``'target'``, the fused target (stage 2), or ``'teachers'``, the output of each
            teacher (stage 1); None for what the option file needs.
        self_ensemble: Whether a target is the mean over eight flips and rotations, which takes
            eight times as long.
        tile: Side of a tile in low-resolution pixels; None for whole images, and smaller and
            smaller tiles where they do not fit into GPU memory.
        tile_overlap: What neighbouring tiles share, in low-resolution pixels.
        device: ``'auto'``, or a device as PyTorch writes it.
        precision: ``'bf16'``, ``'fp32'``, or ``'auto'``, bf16 where it is native, else fp32. None
            is ``'auto'`` on a GPU and ``'fp32'`` on a CPU, and that of the cache where one is gone
            on with.
        workers: Processes that decode images; 0 for none beside this one.
        overwrite: Whether to replace a cache of other options, and what is damaged in one of the
            same.
        verify: Whether to read all of a complete cache instead, and compare it with its checksums.
        overrides: Options that replace those of the file: values by keys such as
            ``'datasets:train:target_cache'``, or texts such as ``'scale=2'``.
        safe: Whether to execute nothing that the option file names: Python tags are refused.

    Returns:
        The cache; under ``torchrun`` it is complete when all processes have ended.

    Raises:
        MTKDError: An argument, an option, weights or images cannot be used, a cache of other
            options stands there, or the one that is verified is damaged.
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
        overrides=overrides,
        safe=safe,
    )
    with basicsr_ready():
        from .targets import run

        return run(arguments)
