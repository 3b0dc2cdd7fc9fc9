"""``mtkd cache``: compute the targets of all training images once."""

import dataclasses
import os
import sys
from pathlib import Path

import torch

from ...config import parse_datasets, parse_scale, require, required_cache_path
from ...data.cache.begun import existing_precision
from ...data.cache.checksums import damaged_images, describe
from ...data.cache.format import state_of
from ...data.cache.key import CacheKey, CacheSettings, Use
from ...data.cache.leftovers import remove_leftovers
from ...data.cache.reader import CacheReader
from ...data.cache.writer import CacheWriter
from ...data.whole_images import WholeImagePairs
from ...errors import CacheError, DamagedCacheError
from ...utils.precision import Precision, teacher_precision
from .._arguments import device_of
from .._option_files import OptionFile, parse_like_basicsr
from .._validation import spelled
from .arguments import CacheArguments
from .batches import choose_batch_pixels, load_batches, plan_batches, without_done
from .computing import Targets
from .filling import compute_images
from .images import changed_images, copy_intact_images, refuse_changed_images, verify
from .outputs import open_outputs, say_hint, settings_of
from .request import CacheRequest


def _complete_cache(path: str, key: CacheKey, overwrite: bool) -> CacheReader | None:
    """Return the complete cache made with the same options, None if there is none.

    Raises:
        CacheError: The path holds a complete cache made with other options, without ``overwrite``.
        DamagedCacheError: The path holds a cache that cannot be read, without ``overwrite``.
    """
    if state_of(path) != 'complete':
        return None
    try:
        reader = CacheReader(path, readahead=True)
    except DamagedCacheError:
        if overwrite:
            return None
        raise
    differences = reader.key.differences(key, Use.KEEP)
    if differences and not overwrite:
        raise CacheError(
            f"'{path}' is a complete cache made with other options: {'; '.join(differences)}; "
            'replace it with --overwrite'
        )
    return None if differences else reader


def _refuse_loss(complete: CacheReader, key: CacheKey) -> None:
    """Raise if a cache that is to be repaired holds outputs that would not be in the repaired one.

    Args:
        complete: The cache, made with the same options.
        key: The key of the repaired cache.

    Raises:
        CacheError: Names the teachers.
    """
    others = [name for name in complete.key.teachers if name not in key.teachers]
    if others:
        raise CacheError(
            f"'{complete.path}' also holds the outputs of {', '.join(others)}, which the option "
            f'file does not name, and which {spelled("overwrite")} would leave out; repair it with '
            'an option file that names all its teachers'
        )


def _print_precision(precision: Precision, rank: int) -> None:
    """Print the precision of the networks, and a warning if there is one, in one process."""
    if rank == 0:
        print(f'{spelled("precision")}: {precision.reason}', flush=True)
        if precision.warning:
            print(f'WARNING: {precision.warning}', file=sys.stderr, flush=True)


def _processes() -> int:
    """Return the number of processes that share the images."""
    return int(os.environ.get('WORLD_SIZE', 1))


def run(args: CacheArguments) -> Path:
    """Create, resume or verify a target cache; see :func:`mtkd_basicsr.commands.cache`.

    Raises:
        MTKDError: Options, weights or images are invalid, the path holds a cache made with other
            options, or the verified cache is damaged.
    """
    file = OptionFile.of(args.options_file, args.overrides, args.safe)
    opt = parse_like_basicsr('cache', file)
    path = required_cache_path(opt)
    for name in ('dataroot_gt', 'dataroot_lq'):
        require(opt, 'datasets', 'train', name)
    if args.verify:
        verify(path, parse_datasets(opt)['train'], parse_scale(opt))
    else:
        device = device_of(args.device, int(os.environ.get('LOCAL_RANK', 0)))
        _make(CacheRequest.of(opt, args.contents), device, args)
    return Path(path)


def _make(request: CacheRequest, device: torch.device, args: CacheArguments) -> None:
    """Create or resume a cache, or recompute its damaged images."""
    path = request.path
    default = teacher_precision(args.precision, device, key=spelled('precision'))
    settings = CacheSettings(args.self_ensemble, default.name, args.tile, args.tile_overlap)
    key = request.key(settings)
    outputs: CacheReader | None = None
    if args.outputs_from is not None:
        outputs = open_outputs(os.fspath(args.outputs_from), request, key)
        settings = dataclasses.replace(settings, outputs_from=settings_of(outputs))
        key = dataclasses.replace(key, settings=settings)
    # Without a requested precision, an existing cache keeps its own.
    resumed = existing_precision(path, key) if args.precision in (None, 'auto') else None
    if resumed is not None:
        key = dataclasses.replace(key, settings=dataclasses.replace(settings, precision=resumed))
    complete = _complete_cache(path, key, args.overwrite)
    pixels = (
        choose_batch_pixels(request.images, request.scale, device, _processes())
        if complete is None
        else complete.key.settings.batch_pixels
    )
    key = dataclasses.replace(key, settings=dataclasses.replace(key.settings, batch_pixels=pixels))
    redone: dict[int, list[str]] = {}
    if complete is not None:
        redone = changed_images(complete, request, args.overwrite)
        if redone:
            print(f"'{path}' was made of other images: {describe(complete, redone)}")
        damaged = damaged_images(complete) if args.overwrite else {}
        if damaged:
            print(f"'{path}' is damaged: {describe(complete, damaged)}; recomputing these images")
        redone = {**redone, **damaged}
    if complete is not None and not redone:
        unfinished = remove_leftovers(path)
        print(request.complete)
        if unfinished is not None:
            size = os.path.getsize(unfinished) / 1e9
            print(
                f"'{os.path.dirname(unfinished)}' ({size:.2f} GB) was begun to replace it; delete "
                f'it unless you go on with {spelled("overwrite")}'
            )
        if resumed not in (None, default.name):
            print(
                f'it was computed in {resumed} and is kept; to recompute it, use --precision '
                f'{default.name} --overwrite ({default.reason})'
            )
        return
    if complete is not None:
        _refuse_loss(complete, key)
        key = dataclasses.replace(key, format=complete.key.format)
    with CacheWriter(path, key, args.overwrite) as writer:
        now = _complete_cache(path, key, args.overwrite)
        if now is not None and (complete is None or now.file != complete.file):
            print(request.complete)  # another process has just finished it
            return
        refuse_changed_images(writer, request, args.overwrite)
        precision = teacher_precision(args.precision, device, resumed, spelled('precision'))
        args = dataclasses.replace(args, precision=precision.name)
        if outputs is None and request.contents == 'target':
            say_hint(request, key)
        _fill(writer, request, device, args, precision, outputs, complete, redone)


def _fill(
    writer: CacheWriter,
    request: CacheRequest,
    device: torch.device,
    args: CacheArguments,
    precision: Precision,
    outputs: CacheReader | None,
    complete: CacheReader | None,
    redone: dict[int, list[str]],
) -> None:
    """Compute this process's share of the images of an open cache.

    ``outputs`` is a cache that replaces the teachers, None if they run. ``complete`` is the cache
    whose images in ``redone`` are computed anew, None for a new one.
    """
    rank = int(os.environ.get('RANK', 0))
    pixels = writer.recorded.settings.batch_pixels
    batches = plan_batches(request.images, request.scale, pixels)[rank :: _processes()]
    share = {index for batch in batches for index in batch}
    _print_precision(precision, rank)
    targets = Targets(request.teachers, request.fusion, request.scale, device, args, outputs)
    targets.check_folders(request.images)
    if complete is not None:
        copy_intact_images(writer, complete, redone, share)
    missing = without_done(batches, writer.done())
    count = sum(len(batch.indices) for batch in missing)
    pairs = WholeImagePairs(request.dataset, request.scale)
    parts = int(os.environ.get('LOCAL_WORLD_SIZE', _processes()))
    loaded = load_batches(pairs, request.images, missing, args.workers, parts)
    compute_images(writer, targets, loaded, count, len(share), rank)
    if writer.finish():
        print(request.complete)
    else:
        print(f"'{request.path}': the share of process {rank} is done")
