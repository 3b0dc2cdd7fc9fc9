"""``mtkd cache``: run the teachers and the fusion network once over all training images."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from ...config import TeacherConfig, TeacherOptions, parse_fusion, parse_teachers, require
from ...data.cache.begun import existing_precision
from ...data.cache.checksums import damaged_images, describe
from ...data.cache.format import array_names, state_of
from ...data.cache.inputs import CachedImage
from ...data.cache.key import CacheKey, CacheSettings, Use
from ...data.cache.manifest import cache_key
from ...data.cache.reader import CacheReader
from ...data.cache.writer import CacheWriter, remove_leftovers
from ...data.whole_images import WholeImagePairs, build_paired_dataset, list_images
from ...errors import CacheError, DamagedCacheError, DataError
from ...functional.self_ensemble import eightfold
from ...functional.tiling import run_tiled
from ...teachers import FusedTeachers, TeacherEnsemble
from ...utils.choices import CacheContents
from ...utils.image_tensors import to_array, to_tensor
from ...utils.images import psnr_y
from ...utils.precision import Precision, teacher_precision
from ...utils.progress import progress, say
from .._arguments import device_of
from .._option_files import OptionFile, parse_like_basicsr
from .._validation import spelled
from .arguments import CacheArguments

_SMALLEST_TILE = 64


class _Targets:
    """Computes what a cache holds for one image, by tiles where it has to."""

    def __init__(
        self,
        teachers: Mapping[str, TeacherConfig],
        fusion: TeacherOptions | None,
        scale: int,
        device: torch.device,
        args: CacheArguments,
    ) -> None:
        ensemble = TeacherEnsemble(teachers, scale, device, args.precision, allow_precomputed=True)
        self.network: TeacherEnsemble | FusedTeachers = ensemble
        if fusion is not None:
            self.network = FusedTeachers(ensemble, fusion, device)
        self.ensemble = ensemble
        self.contents: CacheContents = 'teachers' if fusion is None else 'target'
        self.scale = scale
        self.device = device
        self.tile = args.tile
        self.overlap = args.tile_overlap
        self.self_ensemble = args.self_ensemble

    def _run(self, lq: torch.Tensor, given: torch.Tensor | None, tile: int | None) -> torch.Tensor:
        def whole(*parts: torch.Tensor) -> torch.Tensor:
            return eightfold(self.network, *parts) if self.self_ensemble else self.network(*parts)

        return run_tiled(whole, lq, self.scale, tile, self.overlap, given)

    def check_folders(self, images: Sequence[CachedImage]) -> None:
        """Refuse folders that lack an image, before the first image is computed."""
        self.ensemble.check_outputs(images)

    def __call__(self, name: str, lq: torch.Tensor) -> dict[str, np.ndarray]:
        """Compute the targets of an image.

        Args:
            name: Name of the ground truth.
            lq: (h, w, 3), BGR, uint8.

        Returns:
            (scale · h, scale · w, 3), BGR, uint8, by the name of the array.
        """
        image = to_tensor(lq, self.device)
        tile = self.tile
        given = self.ensemble.precomputed_outputs(name, [self.scale * n for n in lq.shape[:2]])
        while True:
            try:
                output = self._run(image, given, tile)
                break
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                smaller = (tile or max(image.shape[-2:])) // 2
                if smaller < max(_SMALLEST_TILE, self.overlap + 1):
                    raise DataError(
                        f'out of GPU memory even with tiles of {tile} pixels; use --device cpu'
                    ) from error
                say(
                    f'out of GPU memory with {tile or "whole images"}: going on with tiles of '
                    f'{smaller} pixels'
                )
                self.tile = tile = smaller
        if self.contents == 'target':
            return {'target': to_array(output)}
        return {
            f'teacher/{name}': to_array(part)
            for name, part in zip(self.ensemble.names, output.split(3, 1), strict=True)
        }


def _means(psnr: dict[str, list[float]]) -> str:
    return ', '.join(
        f'{name.removeprefix("teacher/")} {np.mean(values):.2f} dB' for name, values in psnr.items()
    )


def _standing(path: str, key: CacheKey, overwrite: bool) -> CacheReader | None:
    """Return the complete cache of the same options, None where there is none.

    Raises:
        CacheError: a complete cache of other options stands there, and is not to be replaced.
        DamagedCacheError: the same for one that cannot be read.
    """
    if state_of(path) != 'complete':
        return None
    try:
        reader = CacheReader(path, readahead=True)
    except DamagedCacheError:
        if overwrite:
            return None
        raise
    found = reader.key.differences(key, Use.KEEP)
    if found and not overwrite:
        raise CacheError(
            f"a complete cache of other options stands at '{path}': {'; '.join(found)}; "
            'replace it with --overwrite'
        )
    return None if found else reader


def _say(precision: Precision, rank: int) -> str:
    """Print once what the networks run in, with a warning if there is one; return its name."""
    if rank == 0:
        print(f'{spelled("precision")}: {precision.reason}', flush=True)
        if precision.warning:
            print(f'WARNING: {precision.warning}', file=sys.stderr, flush=True)
    return precision.name


def _verify(path: str) -> None:
    reader = CacheReader(path, readahead=True)
    found = reader.key.differences(reader.key, Use.READ)
    if found:
        raise CacheError(f"target cache '{path}' cannot be read: {'; '.join(found)}")
    damaged = damaged_images(reader)
    if damaged:
        raise DamagedCacheError(
            f"target cache '{path}' is damaged: {describe(reader, damaged)}; "
            'mtkd cache -opt FILE --overwrite computes these again'
        )
    print(
        f"'{path}' is complete, and as it was written: {reader.key.contents} of "
        f'{len(reader.key.images)} images'
    )


def _compute(
    writer: CacheWriter,
    targets: _Targets,
    pairs: WholeImagePairs,
    mine: int,
    rank: int,
    workers: int,
) -> None:
    """Write those images of a share that are still missing.

    Args:
        writer: Open.
        targets: Computes what a cache holds for an image.
        pairs: All images that are to be done.
        mine: How many images the share has.
        rank: Number of this process.
        workers: Processes that decode images.
    """
    psnr: dict[str, list[float]] = {}
    images = writer.key.images
    loader = DataLoader(pairs, batch_size=None, num_workers=workers)
    with progress(
        loader,
        total=mine,
        initial=mine - len(pairs),
        unit='image',
        desc=targets.contents,
        disable=rank > 0,
    ) as bar:
        for index, lq, gt in bar:
            if isinstance(index, DataError):
                raise index
            arrays = {'lq': lq.numpy(), 'gt': gt.numpy(), **targets(images[index].name, lq)}
            writer.put(index, arrays)
            for name, array in arrays.items():
                if name not in ('lq', 'gt'):
                    psnr.setdefault(name, []).append(psnr_y(array, arrays['gt'], targets.scale))
            bar.set_postfix_str(_means(psnr))
    if psnr:
        print(f'PSNR on Y of {len(pairs)} images: {_means(psnr)}')


def run(args: CacheArguments) -> Path:
    """Make a target cache, go on making it, or verify it; see :func:`mtkd_basicsr.commands.cache`.

    Args:
        args: Checked.

    Returns:
        The cache.

    Raises:
        MTKDError: options, weights or images cannot be used, a cache of other options stands
            there, or the one that is verified is damaged.
    """
    file = OptionFile.of(args.options_file, args.overrides, args.safe)
    opt = parse_like_basicsr('cache', file)
    train = require(opt, 'datasets', 'train')
    path = require(opt, 'datasets', 'train', 'target_cache')
    if args.verify:
        _verify(path)
        return Path(path)
    device = device_of(args.device, int(os.environ.get('LOCAL_RANK', 0)))
    contents: CacheContents = args.contents or ('target' if opt.get('fusion') else 'teachers')
    scale = opt['scale']
    teachers = parse_teachers(opt)
    fusion = (parse_fusion(opt) or require(opt, 'fusion')) if contents == 'target' else None
    dataset = build_paired_dataset(train, 'datasets.train')
    # BasicSR lists a folder in the order of its file system, which two machines need not agree on.
    dataset.paths.sort(key=lambda pair: pair['gt_path'])
    images = list_images(dataset, train['dataroot_gt'], scale)
    here = teacher_precision(args.precision, device, key=spelled('precision'))
    settings = CacheSettings(
        self_ensemble=args.self_ensemble,
        precision=here.name,
        tile=args.tile,
        tile_overlap=args.tile_overlap,
    )
    key = cache_key(contents, scale, teachers, fusion, images, settings)
    # Where nobody asks for a precision, a cache that is there keeps its own.
    began = existing_precision(path, key) if args.precision in (None, 'auto') else None
    if began is not None:
        key = dataclasses.replace(key, settings=dataclasses.replace(settings, precision=began))
    complete = f"'{path}' is complete: {contents} of {len(images)} images"
    standing = _standing(path, key, args.overwrite)
    damaged = damaged_images(standing) if standing is not None and args.overwrite else {}
    if standing is not None and not damaged:
        remove_leftovers(path)
        print(complete)
        if began not in (None, here.name):
            print(
                f'it was made in {began} and stays as it is; --precision {here.name} --overwrite '
                'makes it anew '
                f'({here.reason})'
            )
        return Path(path)
    rank = int(os.environ.get('RANK', 0))
    world = int(os.environ.get('WORLD_SIZE', 1))
    mine = range(rank, len(images), world)
    with CacheWriter(path, key, args.overwrite) as writer:
        now = _standing(path, key, args.overwrite)
        # another process has just finished it
        if now is not None and (standing is None or now.file != standing.file):
            print(complete)
            return Path(path)
        precision = teacher_precision(args.precision, device, began, spelled('precision'))
        args = dataclasses.replace(args, precision=_say(precision, rank))
        targets = _Targets(teachers, fusion, scale, device, args)
        targets.check_folders(images)
        if standing is not None and damaged:
            print(f"'{path}' is damaged: {describe(standing, damaged)}; computing these again")
            for i in set(mine) - set(damaged) - writer.done():
                writer.put(i, {name: standing.array(i, name) for name in array_names(standing.key)})
            writer.flush()
        done = writer.done()
        _compute(
            writer,
            targets,
            WholeImagePairs(dataset, [i for i in mine if i not in done], scale),
            len(mine),
            rank,
            args.workers,
        )
        print(complete if writer.finish() else f"'{path}': the share of process {rank} is done")
    return Path(path)
