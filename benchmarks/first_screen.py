"""The picture at the top of README.md: what bicubic interpolation, three equal students and a
teacher make of the same squares.

    python benchmarks/first_screen.py [--weights DIR] [--out FILE]

The rule that chooses the squares looks at the ground truth alone, so that they favour no method:
of the colour photographs in scikit-image, none of which a network was trained with, those two whose
square of 64×64 pixels with the strongest edges has the stronger ones. The strength is the mean
gradient of the brightness after a blur of one pixel, and squares with more than 1 % of clipped
pixels do not count.

DIR has {student}_{method}_32000_x4.safetensors, made by `mtkd export --format safetensors --half`
out of the trainings of options/compare/ready.yml; the student with MTKD and the teachers come with
the package. PSNR is that of the whole photograph, on Y, without four pixels at each border. What is
shown are outputs rounded to 8 bits, each of whose pixels is drawn as a square of four.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from reference_models import TITLES, WEIGHTS, mean, read_results

from mtkd_basicsr.commands.compare.report.styles import method_styles
from mtkd_basicsr.commands.upscale.network import load_network
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.functional.padding import run_padded
from mtkd_basicsr.host.resize import resize_image
from mtkd_basicsr.utils.image_tensors import to_array, to_tensor
from mtkd_basicsr.utils.images import psnr_y
from mtkd_basicsr.weights.networks import size_multiple

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / 'docs' / 'pictures' / 'first_screen.png'

SCALE = 4
NAMES = {**TITLES, 'scratch': 'from scratch'}
# The colour photographs that scikit-image has, without those of a microscope or a telescope.
PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket', 'motorcycle_left')
SHOWN = 2
SIZE = 64  # of a square, in pixels of the ground truth
CLIPPED = 0.01  # share of pixels in a square that may be black or white

# Method -> weights: a student of one architecture, without teachers, with Basic KD (from the output
# of one teacher, for as many seconds) and with MTKD.
STUDENT = 'SwinIR'
STUDENTS = {
    'scratch': f'{STUDENT}_scratch_32000_x{SCALE}.safetensors',
    'LogitKD': f'{STUDENT}_LogitKD_32000_x{SCALE}.safetensors',
    'MTKD': f'reference:student_swinir_x{SCALE}',
}

# Pixels of the picture; GitHub shows it at half of its width.
ZOOM = 4
GAP = 12
MARGIN = 26
HEAD = 158
FOOT = 46
DPI = 100
POINTS = 72 / DPI  # of a pixel
DARK = '#1a1a1a'
GREY = '#59636e'


@dataclass
class Column:
    """A column of the picture.

    group: above it and its neighbours of the same group; may be empty.
    name: above it.
    note: below the name.
    colour: of the name and of the frames.
    outputs: photograph -> (h, w, 3), BGR, uint8.
    """

    group: str
    name: str
    note: str
    colour: str
    outputs: dict[str, np.ndarray]


def photograph(name):
    """A photograph whose sides are multiples of the scale: (h, w, 3), BGR, uint8."""
    image = load(name)
    h, w = (n // SCALE * SCALE for n in image.shape[:2])
    return np.ascontiguousarray(image[:h, :w, ::-1])


def sharpest_square(image, size=SIZE):
    """Where the edges are strongest.

    Args:
        image: The ground truth, (h, w, 3), BGR, uint8.
        size: Side of the square.

    Returns:
        Strength of its edges, the mean change of brightness from pixel to pixel, in [0, 255]; y and
        x of its upper left corner.
    """
    brightness = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    blurred = cv2.GaussianBlur(brightness, (0, 0), 1)
    down, right = np.gradient(blurred)
    clipped = (image.min(2) == 255) | (image.max(2) == 0)
    strength = _means(np.hypot(down, right), size)
    strength[_means(clipped.astype(np.float32), size) > CLIPPED] = -1
    y, x = np.unravel_index(strength.argmax(), strength.shape)
    return float(strength[y, x]), int(y), int(x)


def _means(values, size):
    """Mean of each square, by its upper left corner."""
    means = cv2.boxFilter(values, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_ISOLATED)
    return means[: values.shape[0] - size + 1, : values.shape[1] - size + 1]


def choose(photographs, count=SHOWN):
    """The photographs that are shown, those with the strongest edges first.

    Args:
        photographs: Name -> ground truth, (h, w, 3), BGR, uint8.
        count: How many.

    Returns:
        Name -> y and x of the upper left corner of its square.
    """
    found = {name: sharpest_square(image) for name, image in photographs.items()}
    names = sorted(found, key=lambda name: -found[name][0])[:count]
    return {name: found[name][1:] for name in names}


def missing(folder):
    """The files with weights that are not there."""
    files = [name for name in STUDENTS.values() if ':' not in name]
    return [folder / name for name in files if not (folder / name).is_file()]


def best_teacher():
    """Name of the teacher of the package with the highest PSNR on B100."""
    results = read_results()['results']
    teachers = [name for name in results if name.startswith('teacher ')]
    best = max(teachers, key=lambda name: mean(results[name]['B100'])[0])
    return best.removeprefix('teacher ')


def parameters(net):
    """Number of parameters, in words."""
    n = sum(p.numel() for p in net.parameters())
    return f'{n / 1e6:.2f} M parameters' if n >= 1e6 else f'{n / 1e3:.0f} k parameters'


def of_network(group, name, weights, colour, lq):
    """The column of a network.

    Args:
        group: Above the name.
        name: Above the column.
        weights: File, or name of weights that come with the package.
        colour: Of the name.
        lq: Photograph -> low-resolution image, (h, w, 3), BGR, uint8.
    """
    net, _ = load_network(None, str(weights), safe=True)
    outputs = {}
    with torch.no_grad():
        for key, image in lq.items():
            output = run_padded(net, to_tensor(image), size_multiple(net), SCALE)
            outputs[key] = to_array(output)
    return Column(group, name, parameters(net), colour, outputs)


def columns_of(truths, folder):
    """All columns.

    Args:
        truths: Photograph -> ground truth, (h, w, 3), BGR, uint8.
        folder: That of the weights.
    """
    lq = {name: low_resolution(image, SCALE) for name, image in truths.items()}
    bicubic = {name: resize_image(image, SCALE) for name, image in lq.items()}
    columns = [
        Column('', 'ground truth', '', DARK, truths),
        Column('', 'bicubic', '', GREY, bicubic),
    ]
    styles = method_styles(STUDENTS)
    for method, weights in STUDENTS.items():
        path = weights if ':' in weights else folder / weights
        name = NAMES.get(method, method)
        group = f'the same student, {STUDENT}'
        columns.append(of_network(group, name, path, styles[method].colour, lq))
    teacher = best_teacher()
    weights = f'reference:{teacher}_x{SCALE}'
    columns.append(of_network('best teacher', teacher.upper(), weights, GREY, lq))
    return columns


def draw(columns, squares, path):
    """Draw a row for each photograph.

    Args:
        columns: The first one is the ground truth.
        squares: Photograph -> y and x of its square.
        path: PNG file to write.
    """
    side = SIZE * ZOOM
    width = 2 * MARGIN + len(columns) * side + (len(columns) - 1) * GAP
    height = HEAD + len(squares) * (side + FOOT) + MARGIN // 2
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor='white')
    truth = columns[0].outputs
    for group in dict.fromkeys(column.group for column in columns if column.group):
        inside = [j for j, column in enumerate(columns) if column.group == group]
        left = MARGIN + inside[0] * (side + GAP)
        right = MARGIN + inside[-1] * (side + GAP) + side
        _text(figure, (left + right) / 2 / width, 1 - 32 / height, group, 24, DARK)
        ends = (left + 2) / width, (right - 2) / width
        figure.add_artist(Line2D(ends, [1 - 56 / height] * 2, color=GREY, lw=2 * POINTS))
    for j, column in enumerate(columns):
        left = MARGIN + j * (side + GAP)
        middle = (left + side / 2) / width
        _text(figure, middle, 1 - 88 / height, column.name, 28, column.colour, 'bold')
        _text(figure, middle, 1 - 128 / height, column.note, 23, GREY)
        for i, (name, (y, x)) in enumerate(squares.items()):
            top = HEAD + i * (side + FOOT)
            box = left / width, 1 - (top + side) / height, side / width, side / height
            axis = figure.add_axes(box)
            crop = column.outputs[name][y : y + SIZE, x : x + SIZE, ::-1]
            axis.imshow(crop, interpolation='nearest')
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(color=column.colour, linewidth=4 * POINTS)
            label = name.replace('_left', '')
            if j:
                label = f'{psnr_y(column.outputs[name], truth[name], SCALE):.2f} dB'
            below = 1 - (top + side + FOOT / 2) / height
            _text(figure, middle, below, label, 25, column.colour if j else GREY)
    figure.savefig(path, dpi=DPI)


def _text(figure, x, y, text, pixels, colour, weight='normal'):
    """Write a text around a point; x and y are shares of the figure, the size is in pixels."""
    figure.text(
        x, y, text, ha='center', va='center', fontsize=pixels * POINTS, color=colour, weight=weight
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('--weights', type=Path, default=WEIGHTS, metavar='DIR')
    p.add_argument('--out', type=Path, default=OUT, metavar='FILE')
    args = p.parse_args()
    absent = missing(args.weights)
    if absent:
        print(
            f'missing: {", ".join(map(str, absent))}; train options/compare/ready.yml, and export '
            'its students with `mtkd export --format safetensors --half`',
            file=sys.stderr,
        )
        return 1
    photographs = {name: photograph(name) for name in PHOTOGRAPHS}
    squares = choose(photographs)
    truths = {name: photographs[name] for name in squares}
    draw(columns_of(truths, args.weights), squares, args.out)
    for name, (y, x) in squares.items():
        print(f'{name}: {SIZE}×{SIZE} pixels from row {y}, column {x} on')
    return 0


if __name__ == '__main__':
    sys.exit(main())
