"""``mtkd cache``: compute the targets of all training images once."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from ...config import TeacherConfig, TeacherOptions, parse_datasets, required_cache_path
from ...data.cache.begun import existing_precision
from ...data.cache.checksums import damaged_images, describe
from ...data.cache.format import state_of
from ...data.cache.inputs import CachedImage
from ...data.cache.key import CacheKey, CacheSettings, Use
from ...data.cache.leftovers import remove_leftovers
from ...data.cache.reader import CacheReader
from ...data.cache.writer import CacheWriter
from ...data.whole_images import WholeImagePairs
from ...errors import CacheError, DamagedCacheError, DataError
from ...functional.self_ensemble import eightfold
from ...functional.tiling import run_tiled
from ...teachers import FusedTeachers, TeacherEnsemble
from ...utils.choices import CacheContents
from ...utils.image_tensors import to_array, to_tensor
from ...utils.images import psnr_y
from ...utils.memory import is_out_of_memory
from ...utils.precision import Precision, teacher_precision
from ...utils.progress import progress, say
from ...utils.texts import begun
from .._arguments import device_of
from .._option_files import OptionFile, parse_like_basicsr
from .._validation import spelled
from .arguments import CacheArguments
from .images import changed_images, copy_intact_images, refuse_changed_images, verify
from .outputs import CachedEnsemble, open_outputs, say_hint, settings_of
from .request import CacheRequest

_SMALLEST_TILE = 64  # low-resolution pixels
# Number of images that a message names.
_MAX_LISTED = 3


class _Targets:
    """Computes the targets of one image, in tiles if memory runs out.

    Attributes:
        tiled: Names of the images that did not fit, and the tiles that they were computed in. The
            next image is tried as asked for again: only this one may be too large.
    """

    def __init__(
        self,
        teachers: Mapping[str, TeacherConfig],
        fusion: TeacherOptions | None,
        scale: int,
        device: torch.device,
        args: CacheArguments,
        outputs: CacheReader | None = None,
    ) -> None:
        precision = args.precision
        ensemble = (
            TeacherEnsemble(teachers, scale, device, precision, allow_precomputed=True)
            if outputs is None
            else CachedEnsemble(list(teachers), outputs, scale, device, precision)
        )
        self.network: TeacherEnsemble | FusedTeachers = ensemble
        if fusion is not None:
            self.network = FusedTeachers(ensemble, fusion, device)
        for warning in self.network.warnings:
            say(f'WARNING {warning}')
        self.ensemble = ensemble
        self.contents: CacheContents = 'teachers' if fusion is None else 'target'
        self.scale = scale
        self.device = device
        self.tile = args.tile
        self.overlap = args.tile_overlap
        self.self_ensemble = args.self_ensemble
        self.tiled: dict[str, int] = {}

    def _run(
        self, lq: torch.Tensor, precomputed: torch.Tensor | None, tile: int | None
    ) -> torch.Tensor:
        def whole(*parts: torch.Tensor) -> torch.Tensor:
            return eightfold(self.network, *parts) if self.self_ensemble else self.network(*parts)

        return run_tiled(whole, lq, self.scale, tile, self.overlap, precomputed)

    def _run_with_smaller_tiles(
        self, name: str, lq: torch.Tensor, precomputed: torch.Tensor | None
    ) -> torch.Tensor:
        """Run the network, and halve the tiles for as long as memory runs out."""
        tile = self.tile
        while True:
            try:
                output = self._run(lq, precomputed, tile)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                tile = self._smaller_tile(name, tile, max(lq.shape[-2:]), error)
            else:
                if tile is not None and tile != self.tile:
                    self.tiled[name] = tile
                return output
            # Here, where no exception holds the tensors of the failed attempt.
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()

    def _smaller_tile(self, name: str, tile: int | None, side: int, error: Exception) -> int:
        """Return half the tile, and say so.

        Raises:
            DataError: It would be too small.
        """
        kind = 'GPU memory' if self.device.type == 'cuda' else 'memory'
        smaller = (tile or side) // 2
        size = 'as a whole' if tile is None else f'in tiles of {tile} pixels'
        if smaller < max(_SMALLEST_TILE, self.overlap + 1):
            other = '; use --device cpu' if self.device.type == 'cuda' else ''
            raise DataError(f"out of {kind} for '{name}' {size}{other}") from error
        say(f"out of {kind} for '{name}' {size}; it is computed in tiles of {smaller} pixels")
        return smaller

    def check_folders(self, images: Sequence[CachedImage]) -> None:
        """Raise if a folder of precomputed outputs lacks an image."""
        self.ensemble.check_outputs(images)

    def __call__(self, name: str, lq: torch.Tensor) -> dict[str, np.ndarray]:
        """Compute the targets of an image.

        Args:
            name: Name of the ground truth.
            lq: (h, w, 3), BGR, uint8.

        Returns:
            (scale · h, scale · w, 3), BGR, uint8, by the name of the array.
        """
        size = [self.scale * n for n in lq.shape[:2]]
        precomputed = self.ensemble.precomputed_outputs(name, size)
        output = self._run_with_smaller_tiles(name, to_tensor(lq, self.device), precomputed)
        if self.contents == 'target':
            return {'target': to_array(output)}
        return {
            f'teacher/{teacher}': to_array(part)
            for teacher, part in zip(self.ensemble.names, output.split(3, 1), strict=True)
        }


def _format_means(psnr: dict[str, list[float]]) -> str:
    means = []
    for name, values in psnr.items():
        means.append(f'{name.removeprefix("teacher/")} {np.mean(values):.2f} dB')
    return ', '.join(means)


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


def _print_precision(precision: Precision, rank: int) -> None:
    """Print the precision of the networks, and a warning if there is one, in one process."""
    if rank == 0:
        print(f'{spelled("precision")}: {precision.reason}', flush=True)
        if precision.warning:
            print(f'WARNING: {precision.warning}', file=sys.stderr, flush=True)


def _compute(
    writer: CacheWriter,
    targets: _Targets,
    missing: WholeImagePairs,
    share: int,
    rank: int,
    workers: int,
) -> None:
    """Compute and write the missing images of a share.

    Args:
        writer: An open writer.
        targets: Computes the targets of an image.
        missing: The images to compute.
        share: Number of images of the share, including those already written.
        rank: Rank of this process.
        workers: Number of processes that decode images.
    """
    psnr: dict[str, list[float]] = {}
    images = writer.key.images
    loader = DataLoader(missing, batch_size=None, num_workers=workers)
    with progress(
        loader,
        total=share,
        initial=share - len(missing),
        unit='image',
        desc=targets.contents,
        disable=rank > 0,
    ) as bar:
        for index, lq, gt, sources in bar:
            if isinstance(index, DataError):
                raise index
            outputs = targets(images[index].name, lq)
            truth = gt.numpy()
            writer.put(
                index,
                {'lq': lq.numpy(), 'gt': truth, **outputs},
                sources,
                targets.tiled.get(images[index].name),
            )
            for name, output in outputs.items():
                psnr.setdefault(name, []).append(psnr_y(output, truth, targets.scale))
            bar.set_postfix_str(_format_means(psnr))
    if psnr:
        print(f'PSNR on Y of {len(missing)} images: {_format_means(psnr)}')
    if targets.tiled:
        print(
            f'WARNING: {len(targets.tiled)} images did not fit into memory and were computed in '
            f'tiles, which changes them a little: {begun(list(targets.tiled), _MAX_LISTED)}',
            file=sys.stderr,
        )


def run(args: CacheArguments) -> Path:
    """Create, resume or verify a target cache; see :func:`mtkd_basicsr.commands.cache`.

    Raises:
        MTKDError: Options, weights or images are invalid, the path holds a cache made with other
            options, or the verified cache is damaged.
    """
    file = OptionFile.of(args.options_file, args.overrides, args.safe)
    opt = parse_like_basicsr('cache', file)
    path = required_cache_path(opt)
    if args.verify:
        verify(path, parse_datasets(opt)['train'], opt['scale'])
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
        remove_leftovers(path)
        print(request.complete)
        if resumed not in (None, default.name):
            print(
                f'it was computed in {resumed} and is kept; to recompute it, use --precision '
                f'{default.name} --overwrite ({default.reason})'
            )
        return
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
    share = range(rank, len(request.images), int(os.environ.get('WORLD_SIZE', 1)))
    _print_precision(precision, rank)
    targets = _Targets(request.teachers, request.fusion, request.scale, device, args, outputs)
    targets.check_folders(request.images)
    if complete is not None:
        copy_intact_images(writer, complete, redone, share)
    done = writer.done()
    missing = WholeImagePairs(request.dataset, [i for i in share if i not in done], request.scale)
    _compute(writer, targets, missing, len(share), rank, args.workers)
    if writer.finish():
        print(request.complete)
    else:
        print(f"'{request.path}': the share of process {rank} is done")
