"""The way of a batch to the device."""

import functools
import itertools
import time

import torch
from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher
from torch.utils.data import DataLoader, Dataset, default_collate

from mtkd_basicsr.data.packed_batches import to_device

from .frame import check
from .setups import batch, packed, patch_size, student_options, training


class _Numbered(Dataset):
    """Images that are constants: the number of the image, divided by 255."""

    def __init__(self, size, number):
        self.size = size
        self.number = number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        value = (index % 256) / 255
        lq = torch.full((3, self.size, self.size), value)
        gt = torch.full((3, 4 * self.size, 4 * self.size), value)
        return {'lq': lq, 'gt': gt, 'target': gt.clone(), 'gt_path': str(index)}


def _pack(items):
    """Collate images to packed bytes."""
    names = [item.pop('gt_path') for item in items]
    return {**packed(default_collate(items)), 'gt_path': names}


def _prefetcher(mode, loader, opt):
    if mode == 'cuda':
        return CUDAPrefetcher(loader, opt)
    return CPUPrefetcher(loader)


@check(seconds=90, rank=32)
def prefetchers(context):
    """No batch changes on the device while the next ones are fetched, in any mode."""
    count = context.pick(100, 6)
    modes = ('cpu', 'cuda') if context.device == 'cuda' else ('cpu',)
    pinned = (False, True) if context.device == 'cuda' else (False,)
    opt = student_options(context)
    collations = {'floats': default_collate, 'packed bytes': _pack}
    for mode, pin, kind in itertools.product(modes, pinned, collations):
        part = f'prefetch_mode {mode}, pin_memory {pin}, {kind}'
        with context.part(part):
            model = training(opt, context.device)
            dataset = _Numbered(patch_size(context), 4 * count)
            loader = DataLoader(
                dataset, 4, num_workers=2, pin_memory=pin, collate_fn=collations[kind]
            )
            prefetcher = _prefetcher(mode, loader, {**opt, 'num_gpu': 1})
            changed = 0
            order = []
            data = prefetcher.next()
            iteration = 0
            while data is not None:
                iteration += 1
                model.feed_data(data)
                names = [int(name) for name in data['gt_path']]
                order += names
                expected = torch.tensor([(n % 256) / 255 for n in names])
                model.optimize_parameters(iteration)
                data = prefetcher.next()
                time.sleep(0.005)
                seen = model.lq.amax((1, 2, 3)).cpu(), model.gt.amin((1, 2, 3)).cpu()
                changed += not all(torch.equal(x, expected) for x in seen)
            context.expect(f'{part}: changed batches', changed, 0)
            context.expect_true(f'{part}: order', order == list(range(4 * count)))


@check(seconds=15, rank=33)
def bytes_to_floats(context):
    """Bytes divided by 255 on the device against the CPU."""
    values = torch.arange(256, dtype=torch.uint8).repeat(1000)
    expected = values.float() / 255
    divisor = torch.tensor(255.0, device=context.device)
    found = values.to(context.device).float() / divisor
    context.expect_same('divided by a tensor, equal bits', found, expected)
    plain = values.to(context.device).float() / 255
    context.record('divided by a number, equal bits', torch.equal(plain.cpu(), expected))
    data = packed(batch(context, patch_size(context)))
    for part, normalization in (
        ('a packed batch', None),
        ('a normalized one', [[0.45, 0.44, 0.4], [0.3, 0.25, 0.2]]),
    ):
        data['normalization'] = normalization
        unpack = functools.partial(to_device, data)
        here = unpack(torch.device('cpu'))
        context.expect_same(part, unpack(torch.device(context.device)), here)
