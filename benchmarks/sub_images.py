"""Whole images against overlapping sub-images: what they take, and which patches they give.

    python benchmarks/sub_images.py [--images N]

The first tables are computed: from what is known of DIV2K (32,592 sub-images of 480×480 with a step
of 240 from 800 images, each with 2040 pixels on its longer side), and from ``mtkd data``'s own
corners of sub-images. The last one is measured: ``mtkd data`` and ``mtkd cache`` make both of
images of 2040×1356 pixels, mosaics of photographs of scikit-image, with one small teacher.
"""

import collections
import contextlib
import io
import resource
import tempfile
from pathlib import Path

import cv2
import yaml
from basicsr.utils.options import ordered_yaml
from layouts import mosaic
from timing import machine, parser, write_weights

from mtkd_basicsr.commands import cache, prepare_data
from mtkd_basicsr.commands.prepare_data.layout import Layout, corners, parts_of
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.utils.resources import option_file

SUB, STEP, SCALE = 480, 240, 4
COUNT, IMAGES, LONG = 32592, 800, 2040
# The commonest of DIV2K, and others that occur.
SIZES = ((1356, 2040), (1152, 2040), (1404, 2040), (1536, 2040), (2040, 2040))
PATCHES = (128, 192, 256)


def pixels():
    """Prints how many pixels sub-images have for one of the whole images."""
    layout = Layout(Path('.'), (SCALE,), 12, SUB, STEP)
    print('| image | sub-images | whole / sub-images, pixels |\n|---|---|---|')
    for h, w in SIZES:
        count = len(parts_of(Path('x.png'), h, w, layout))
        print(f'| {w}×{h} | {count} | {h * w / (count * SUB**2):.3f} |')
    # An image with n sub-images across and m down has more than 240 m and at most 240 (m + 1) rows.
    across = len(corners(LONG, SUB, STEP))
    least = LONG * STEP * COUNT / across
    most = least + LONG * STEP * IMAGES
    total = COUNT * SUB**2
    print(
        f'\nDIV2K: {COUNT} sub-images have {total / 1e9:.2f} gigapixels; {IMAGES} whole images '
        'have '
        f'{least / 1e9:.2f} to {most / 1e9:.2f}, by their numbers of sub-images: '
        f'{least / total:.3f} to {most / total:.3f} of it\n'
    )


def place_counts(size, patch):
    """How often each place of a patch is drawn if every sub-image gives each of its own once.

    Args:
        size (int): Of an image, in one direction, in pixels of the ground truth.
        patch (int): Of a patch.

    Returns:
        dict[int, int]: The first pixel of the patch, a multiple of the scale -> number.
    """
    counts = collections.Counter(dict.fromkeys(range(0, size - patch + 1, SCALE), 0))
    for corner in corners(size, SUB, STEP):
        counts.update(range(corner, corner + SUB - patch + 1, SCALE))
    return counts


def places():
    """Prints how evenly the places of an image are drawn out of sub-images."""
    print(
        f'Places of patches in an image of {LONG}×{SIZES[0][0]} pixels. Out of the whole image '
        'each is drawn equally often.\n'
    )
    print(
        '| patch | places that no sub-image has | places that several have | most / mean |\n'
        '|---|---|---|---|'
    )
    for patch in PATCHES:
        found = []
        for rows in place_counts(SIZES[0][0], patch).values():
            for columns in place_counts(LONG, patch).values():
                found.append(rows * columns)
        number = len(found)
        never = found.count(0) / number
        often = sum(count > 1 for count in found) / number
        mean = sum(found) / number
        print(f'| {patch} | {never:.1%} | {often:.1%} | {max(found) / mean:.2f} |')


def write_options(folder, data, end):
    opt = yaml.load(option_file('demo', 'fusion.yml').read_text(), Loader=ordered_yaml()[0])
    opt['teachers'] = {'edsr': opt['teachers']['edsr']}
    opt['network_g']['in_chans'] = 3
    opt['datasets']['train'].update(
        type='DistillImageDataset',
        dataroot_gt=str(data / f'GTmod12{end}'),
        dataroot_lq=str(data / f'LRbicx{SCALE}{end}'),
        target_cache=str(folder / f'cache{end}.lmdb'),
    )
    write_weights(opt, folder)
    path = folder / f'options{end}.yml'
    path.write_text(yaml.dump(opt, Dumper=ordered_yaml()[1]))
    return str(path)


def seconds():
    """Seconds of the processor that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(count, size):
    """Makes the folders and the caches of both, and prints what that took."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'HR').mkdir()
        for i in range(count):
            cv2.imwrite(str(folder / 'HR' / f'{i}.png'), mosaic(i, size))
        for end, sub in (('', 0), ('_sub', SUB)):
            data = folder / f'data{end}'
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                folders = prepare_data(folder / 'HR', data, sub_image=sub, step=sub // 2, workers=1)
                start = seconds()
                cache(write_options(folder, data, end))
            spent = seconds() - start
            path = folder / f'cache{end}.lmdb'
            stored = (path / 'data.mdb').stat().st_size
            files = sum(p.stat().st_size for f in (1, SCALE) for p in folders[f].iterdir())
            found.append((len(CacheReader(path).key.images), files, stored, spent))
    print(f'\n{count} images of {size[1]}×{size[0]}\n{machine("cpu")}\n')
    print('| | files | PNG, MB | cache, MB | mtkd cache, CPU seconds |\n|---|---|---|---|---|')
    for name, (number, files, stored, spent) in zip(('whole', 'sub-images'), found):
        print(f'| {name} | {number} | {files / 1e6:.1f} | {stored / 1e6:.1f} | {spent:.1f} |')
    ratios = ' | '.join(f'{a / b:.3f}' for a, b in zip(*found))
    print(f'| whole / sub-images | {ratios} |')


def main():
    p = parser(__doc__.splitlines()[0], runs=1)
    p.add_argument('--images', type=int, default=2)
    p.add_argument('--size', type=int, nargs=2, default=SIZES[0], help='height and width of one')
    args = p.parse_args()
    pixels()
    places()
    measure(args.images, args.size)


if __name__ == '__main__':
    main()
