"""The diagram of the two stages of MTKD in README.md.

python benchmarks/stages.py [--out FILE]
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mtkd_basicsr.commands.compare.report.styles import method_styles

OUT = Path(__file__).resolve().parents[1] / 'docs' / 'pictures' / 'stages.png'
# All lengths are pixels of the page, from the upper left corner, 72 to an inch, so that they are
# points as well; GitHub shows it at this width.
WIDTH = 830
HEIGHT = 452
DPI = 144  # two pixels of the file for one of the page

DARK = '#1a1a1a'
GREY = '#59636e'
TRAINED = method_styles(['MTKD'])['MTKD'].colour
# What is in a box -> its colour inside and around it, the width of its line.
BOXES = {
    'trained': ('#fbe4d5', TRAINED, 2.4),
    'frozen': ('#dde5ee', '#8796a8', 1.2),
    'image': ('#ffffff', '#8c959f', 1.2),
}


class Drawing:
    """A figure that is drawn in pixels of the page."""

    def __init__(self):
        self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor='white')
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self.axis.set_axis_off()

    def text(self, x, y, text, size=15, colour=DARK, **look):
        """Write a text around a point, or from it on."""
        look = {'ha': 'center', 'va': 'center', **look}
        self.axis.text(x, y, text, fontsize=size, color=colour, zorder=5, **look)

    def area(self, left, top, width, height, fill, line='none', lw=0.0, radius=7):
        """Draw a rectangle with round corners."""
        self.axis.add_patch(
            FancyBboxPatch(
                (left + radius, top + radius),
                width - 2 * radius,
                height - 2 * radius,
                boxstyle=f'round,pad={radius}',
                facecolor=fill,
                edgecolor=line,
                linewidth=lw,
                zorder=1 if line == 'none' else 3,
            )
        )

    def box(self, x, y, text, kind, width=112, height=50):
        """Draw a box around a point."""
        fill, line, lw = BOXES[kind]
        self.area(x - width / 2, y - height / 2, width, height, fill, line, lw)
        weight = 'bold' if kind == 'trained' else 'normal'
        self.text(x, y, text, 14.5, weight=weight)

    def arrow(self, start, end, head='-|>', line='-', colour=DARK):
        """Draw an arrow from a point to another."""
        self.axis.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle=head,
                mutation_scale=13,
                shrinkA=0,
                shrinkB=0,
                linestyle=line,
                linewidth=1.5,
                color=colour,
                zorder=2,
            )
        )

    def loss(self, start, end, text, at):
        """Draw a loss between two boxes, with its name."""
        self.arrow(start, end, '<|-|>', (0, (4, 3)), TRAINED)
        self.text(*at, text, 14, TRAINED)


def stage_1(drawing):
    """LR image -> teachers -> fusion -> fused image, beside the ground truth."""
    drawing.area(10, 10, WIDTH - 20, 210, '#f4f6f8')
    drawing.text(26, 33, 'Stage 1', 17, weight='bold', ha='left')
    drawing.text(110, 33, 'a network learns to fuse the teachers', 15, GREY, ha='left')
    middle = 130
    drawing.box(70, middle, 'LR image', 'image', 92)
    for name, y in (('EDSR', 78), ('RCAN', middle), ('SwinIR', 182)):
        drawing.box(230, y, name, 'frozen', 104, 40)
        drawing.arrow((116, middle + (y - middle) / 4), (178, y))
        drawing.arrow((282, y), (338, middle + (y - middle) / 3))
    drawing.box(398, middle, 'DCT-Swin\nfusion', 'trained', 120, 62)
    drawing.arrow((458, middle), (512, middle))
    drawing.box(568, middle, 'fused image', 'image')
    drawing.loss((624, middle), (694, middle), 'L1 loss', (659, middle - 16))
    drawing.box(750, middle, 'ground truth', 'image')


def stage_2(drawing):
    """LR image -> student -> output, beside the fused image and the ground truth."""
    drawing.area(10, 232, WIDTH - 20, 210, '#f4f6f8')
    drawing.text(26, 255, 'Stage 2', 17, weight='bold', ha='left')
    drawing.text(110, 255, 'the student learns from the fused image', 15, GREY, ha='left')
    middle, upper, lower = 352, 310, 394
    drawing.box(70, middle, 'LR image', 'image', 92)
    drawing.arrow((116, middle), (178, middle))
    drawing.box(230, middle, 'student', 'trained', 104, 62)
    drawing.arrow((282, middle), (324, middle))
    drawing.box(370, middle, 'output', 'image', 92)
    drawing.box(568, upper, 'fused image', 'image')
    drawing.box(568, lower, 'ground truth', 'image')
    drawing.loss((416, middle - 8), (512, upper), 'wavelet loss', (450, upper - 4))
    drawing.loss((416, middle + 8), (512, lower), '0.1 · L1 loss', (448, lower + 5))
    drawing.arrow((568, 155), (568, upper - 25))
    drawing.text(580, 226, 'cached once', 14, GREY, ha='left')


def legend(drawing):
    """What the colours say."""
    for text, y in (('trained', 318), ('frozen', 352)):
        fill, line, lw = BOXES[text]
        drawing.area(690, y - 10, 32, 20, fill, line, lw, radius=4)
        drawing.text(734, y, text, ha='left')
    drawing.arrow((690, 386), (722, 386), '<|-|>', (0, (4, 3)), TRAINED)
    drawing.text(734, 386, 'loss', ha='left')


def draw(path):
    """Draw the diagram into a PNG file."""
    drawing = Drawing()
    stage_1(drawing)
    stage_2(drawing)
    legend(drawing)
    drawing.figure.savefig(path, dpi=DPI)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('--out', type=Path, default=OUT, metavar='FILE')
    draw(p.parse_args().out)


if __name__ == '__main__':
    main()
