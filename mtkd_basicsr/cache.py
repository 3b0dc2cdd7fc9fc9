"""``mtkd cache``: runs teachers and fusion network once over every training image, and keeps what they give."""

import copy
import os

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .arguments import device_of, number
from .data.distill_dataset import image_names
from .data.manifest import WHAT, image_differences, new_manifest, source_differences, source_of
from .data.target_cache import CacheReader, CacheWriter, state_of
from .errors import CacheError, DataError, OptionError
from .functional.self_ensemble import eightfold
from .functional.tiling import run_tiled
from .image_folder import read_head
from .options import choice, parse_fusion, parse_teachers, require
from .teachers import FusedTeachers, TeacherEnsemble
from .train import parse_like_basicsr
from .yaml_files import add_safe_argument

_SMALLEST_TILE = 64
_BACKENDS = ('disk', 'lmdb', 'memcached')
# Y of BGR, after ITU-R BT.601 as MATLAB has it; its constant, 16, is in both images.
_LUMA = np.array([[24.966, 128.553, 65.481]], np.float32) / 255
# Measured with three networks on photographs, ×4 (benchmarks/tiling.py).
DEFAULT_OVERLAP = 32


def paired_dataset(block, key):
    """A ``PairedImageDataset`` over a block; targets of a cache are not needed to look at images.

    Args:
        block (dict): With ``phase`` and ``scale``, as BasicSR's ``parse_options`` leaves it.
        key (str): Where it stands in the option file, for messages.

    Raises:
        DataError: BasicSR cannot list the images.
        OptionError: it knows no such ``io_backend``.
    """
    from basicsr.data.paired_image_dataset import PairedImageDataset
    try:
        dataset = PairedImageDataset(copy.deepcopy({k: v for k, v in block.items() if k != 'target_cache'}))
    except Exception as error:  # it asserts, and takes its keys as they come
        raise DataError(f'{key}: BasicSR cannot list its images: {type(error).__name__}: {error}') from error
    choice(dataset.io_backend_opt['type'], _BACKENDS, f'{key}.io_backend.type')
    return dataset


class Pairs(Dataset):
    """Whole images of a ``PairedImageDataset`` that are still to be done, as files have them."""

    def __init__(self, dataset, indices, scale):
        self.dataset, self.indices, self.scale, self.client = dataset, indices, scale, None

    def __len__(self):
        return len(self.indices)

    def bytes_of(self, index, kind):
        from basicsr.utils import FileClient
        if self.client is None:
            options = dict(self.dataset.io_backend_opt)
            self.client = FileClient(options.pop('type'), **options)
        return self.client.get(self.dataset.paths[index][f'{kind}_path'], kind)

    def size(self, index, kind='gt'):
        """(height, width) of an image, out of the head of its file."""
        return self.head(index, kind)[:2]

    def head(self, index, kind='gt'):
        """What the head of an image says: a :class:`~mtkd_basicsr.image_folder.Head`."""
        path = self.dataset.paths[index][f'{kind}_path']
        return read_head(path if self.dataset.io_backend_opt['type'] == 'disk' else self.bytes_of(index, kind), path)

    def check_sizes(self, index, gt, lq):
        """Refuses a pair whose sizes, (height, width), are not the scale apart."""
        if tuple(gt[:2]) != (lq[0] * self.scale, lq[1] * self.scale):
            raise DataError(f"{self.dataset.paths[index]['gt_path']}: {gt[0]}×{gt[1]} pixels, and {lq[0]}×{lq[1]} in the low-resolution "
                            f'image; scale is {self.scale}')

    def _image(self, index, kind):
        from basicsr.utils import imfrombytes
        content = self.bytes_of(index, kind)
        image = imfrombytes(content) if content else None
        if image is None:
            raise DataError(f"'{self.dataset.paths[index][f'{kind}_path']}' cannot be read as an image")
        return image

    def __getitem__(self, i):
        try:
            return self._pair(self.indices[i])
        except DataError as error:  # for the main process to raise: from here it would come with a traceback in its text
            return error, None, None

    def _pair(self, index):
        lq, gt = (self._image(index, kind) for kind in ('lq', 'gt'))
        self.check_sizes(index, gt.shape, lq.shape)
        return index, torch.from_numpy(lq), torch.from_numpy(gt)


def _list_images(dataset, root, scale):
    pairs, images = Pairs(dataset, [], scale), []
    for index, name in enumerate(image_names(dataset, root)):
        h, w = pairs.size(index)
        if h % scale or w % scale:
            raise DataError(f"{dataset.paths[index]['gt_path']}: {h}×{w} pixels; expected multiples of the scale, {scale}")
        pairs.check_sizes(index, (h, w), pairs.size(index, 'lq'))
        images.append([name, h, w])
    return images


def _to_tensor(image, device):
    """(h, w, 3), BGR, uint8 -> (1, 3, h, w), RGB, [0, 1]."""
    return image.to(device).flip(-1).permute(2, 0, 1)[None].float() / 255


def _to_array(tensor):
    """(1, 3, h, w), RGB, [0, 1] -> (h, w, 3), BGR, uint8."""
    return (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).flip(-1).contiguous().cpu().numpy()


class _Targets:
    """Computes what a cache holds for one image, by tiles where it has to."""

    def __init__(self, opt, what, device, args):
        ensemble = TeacherEnsemble(parse_teachers(opt), opt['scale'], device, args.precision, folders=True)
        self.network = ensemble if what == 'teachers' else FusedTeachers(ensemble, parse_fusion(opt), device)
        self.ensemble, self.what, self.scale, self.device = ensemble, what, opt['scale'], device
        self.tile, self.overlap, self.self_ensemble = args.tile, args.tile_overlap, args.self_ensemble

    def _run(self, lq, given, tile):
        def whole(*parts):
            return eightfold(self.network, *parts) if self.self_ensemble else self.network(*parts)
        return run_tiled(whole, lq, self.scale, tile, self.overlap, given)

    def check_folders(self, images):
        """Refuses folders that have not every image, before the first one is computed."""
        for name in self.ensemble.given_names:
            self.ensemble.folder(name).images.check(images)

    def __call__(self, name, lq):
        """Name of the ground truth, and (h, w, 3), BGR, uint8 tensor -> arrays by their kind."""
        image, tile = _to_tensor(lq, self.device), self.tile
        given = self.ensemble.given(name, [self.scale * n for n in lq.shape[:2]])
        while True:
            try:
                output = self._run(image, given, tile)
                break
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                smaller = (tile or max(image.shape[-2:])) // 2
                if smaller < max(_SMALLEST_TILE, self.overlap + 1):
                    raise DataError(f'out of GPU memory even with tiles of {tile} pixels; use --device cpu') from error
                tqdm.write(f'out of GPU memory with {tile or "whole images"}: going on with tiles of {smaller} pixels')
                self.tile = tile = smaller
        if self.what == 'target':
            return {'target': _to_array(output)}
        return {f'teacher/{name}': _to_array(part) for name, part in zip(self.ensemble.names, output.split(3, 1))}


def psnr_y(a, b, border):
    """PSNR on the Y channel as papers measure it, and 25 times as fast as BasicSR's: it goes along with every image of a cache.

    Args:
        a, b (ndarray): (h, w, 3), BGR, uint8.
        border (int): Pixels that are left out at each side, the scale.

    Returns:
        float: In dB; infinite where all is equal.
    """
    inner = slice(border, -border), slice(border, -border)
    difference = a[inner].astype(np.float32) - b[inner]
    error = np.mean(cv2.transform(difference, _LUMA)**2)
    return float('inf') if error == 0 else 10 * np.log10(255**2 / error)


def _means(psnr):
    return ', '.join(f'{kind.removeprefix("teacher/")} {np.mean(values):.2f} dB' for kind, values in psnr.items())


def _is_done(path, source, images, manifest, overwrite):
    """Whether a complete cache of the same options stands there; refuses one of others."""
    if state_of(path) != 'complete':
        return False
    found_manifest = CacheReader(path).manifest
    found = source_differences(found_manifest, source) + image_differences(found_manifest, [image[0] for image in images])
    found += [f'{k}: {v!r} in the cache, {manifest["made_with"][k]!r} asked for' for k, v in found_manifest['made_with'].items()
              if manifest['made_with'].get(k) != v]
    if found and not overwrite:
        raise CacheError(f"a complete cache of other options stands at '{path}': {'; '.join(found)}; "
                         'replace it with --overwrite')
    return not found


def cache(args):
    """Makes the target cache of an option file, or goes on making it.

    Under ``torchrun`` each process does its share of the images, on its own GPU, into the same file.

    Args:
        args (argparse.Namespace): What :func:`add_arguments` has parsed.

    Raises:
        MTKDError: options, weights or images cannot be used, or a cache of other options stands there.
    """
    if args.tile is not None and args.tile <= args.tile_overlap or args.tile_overlap < 0:
        raise OptionError(f'--tile-overlap: {args.tile_overlap}; expected from 0 on, less than --tile, {args.tile}')
    opt = parse_like_basicsr('cache', args)
    train = require(opt, 'datasets', 'train')
    path = require(opt, 'datasets', 'train', 'target_cache')
    device = device_of(args.device, int(os.environ.get('LOCAL_RANK', 0)))
    what = args.what or ('target' if opt.get('fusion') else 'teachers')
    args.precision = args.precision or ('bf16' if device.type == 'cuda' else 'fp32')

    dataset = paired_dataset(train, 'datasets.train')
    # BasicSR lists a folder in the order of its file system, which two machines need not agree on.
    dataset.paths.sort(key=lambda pair: pair['gt_path'])
    images = _list_images(dataset, train['dataroot_gt'], opt['scale'])
    source = source_of(opt, what, [image[0] for image in images])
    manifest = new_manifest(source, images, self_ensemble=args.self_ensemble, precision=args.precision, tile=args.tile,
                            tile_overlap=args.tile_overlap)
    if _is_done(path, source, images, manifest, args.overwrite):
        print(f"'{path}' is complete: {what} of {len(images)} images")
        return
    targets = _Targets(opt, what, device, args)
    targets.check_folders(images)
    writer = CacheWriter(path, manifest, args.overwrite)
    rank, world = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    done = writer.done()
    mine = [i for i in range(rank, len(images), world)]
    todo = [i for i in mine if i not in done]
    loader = DataLoader(Pairs(dataset, todo, opt['scale']), batch_size=None, num_workers=args.workers)
    psnr = {}
    with tqdm(loader, total=len(mine), initial=len(mine) - len(todo), unit='image', desc=what, disable=rank > 0) as bar:
        for index, lq, gt in bar:
            if isinstance(index, DataError):
                raise index
            arrays = {'lq': lq.numpy(), 'gt': gt.numpy(), **targets(images[index][0], lq)}
            writer.put(index, arrays)
            for kind in [kind for kind in arrays if kind not in ('lq', 'gt')]:
                psnr.setdefault(kind, []).append(psnr_y(arrays[kind], arrays['gt'], opt['scale']))
            bar.set_postfix_str(_means(psnr))
    if psnr:
        print(f'PSNR on Y of {len(todo)} images: {_means(psnr)}')
    if writer.finish():
        print(f"'{path}' is complete: {what} of {len(images)} images")
    else:
        print(f"'{path}': the share of process {rank} is done")


def add_arguments(parser):
    """Adds the arguments of the command to its parser."""
    parser.add_argument('-opt', '--opt', required=True, metavar='FILE', help='option file; names the cache as datasets.train.target_cache')
    parser.add_argument('--what', choices=WHAT, help='the fused target (stage 2), or the output of each teacher (stage 1); '
                        'what the option file needs by default')
    parser.add_argument('--self-ensemble', action='store_true', help='mean over eight flips and rotations, eight times slower')
    parser.add_argument('--tile', type=number(1), metavar='N', help='low-resolution pixels; by default whole images, and smaller '
                        'and smaller tiles where they do not fit into GPU memory')
    parser.add_argument('--tile-overlap', type=int, default=DEFAULT_OVERLAP, metavar='N', help='what neighbouring tiles share')
    parser.add_argument('--device', default='auto', help='cpu, cuda, cuda:1, …')
    parser.add_argument('--precision', choices=('fp32', 'bf16'), help='bf16 on a GPU, fp32 on a CPU by default')
    parser.add_argument('--workers', type=number(0), default=1, help='processes that decode images')
    parser.add_argument('--overwrite', action='store_true', help='replace a cache of other options')
    parser.add_argument('--force_yml', '--force-yml', nargs='+', metavar='KEY=VALUE', help='override options')
    add_safe_argument(parser)
