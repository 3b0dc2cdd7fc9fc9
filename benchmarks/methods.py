"""One training step of each method against one of the student alone: same student, same trainer,
same teachers.

    python benchmarks/methods.py [--small] [--student EDSR|RCAN|SwinIR] [--device cpu|cuda]
    [--threads N] [--runs N] [--batch N]

Options are those of options/compare/paper.yml at ×4 (--small: small.yml). Weights are random.
Outputs of the teachers come out of a cache, as they do in a comparison; what a method needs beyond
them (features, DUKD's new images) is computed.
"""

import copy
import tempfile
from pathlib import Path

import torch
from basicsr.models import build_model
from timing import interleaved_medians, machine, parser, write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.utils.resources import option_file

SCALE = 4


def options_of(plan, student, device):
    """Options of the student's training with every method, by name."""
    found = {}
    for run in expand(read_plan(option_file('compare', f'{plan}.yml')), Path('/nowhere')):
        if (run.student, run.scale, run.seed) == (student, SCALE, 0):
            opt = copy.deepcopy(run.options)
            opt.update(
                num_gpu=int(device == 'cuda'), dist=False, rank=0, world_size=1, is_train=True
            )
            opt['datasets']['train']['target_cache'] = None
            found[run.method] = opt
    return found


def make_step(opt, batch):
    model = build_model(copy.deepcopy(opt))
    context = model.distiller.teachers
    # What a cache does: its first three channels are the target.
    context.cached = slice(0, 3)

    def step():
        model.feed_data(batch)
        model.optimize_parameters(1)

    return step


def main():
    p = parser(__doc__.splitlines()[0], runs=5)
    p.add_argument('--batch', type=int, default=2, help='images of a step')
    p.add_argument('--student', default='EDSR', help='a student of the plan')
    p.add_argument('--small', action='store_true', help='networks of small.yml')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    plan = read_plan(option_file('compare', f'{"small" if args.small else "paper"}.yml'))
    size = plan.lq_size
    batch = {
        'lq': torch.rand(args.batch, 3, size, size),
        'gt': torch.rand(args.batch, 3, SCALE * size, SCALE * size),
    }
    batch['target'] = torch.rand_like(batch['gt'])
    with tempfile.TemporaryDirectory() as folder:
        steps = {}
        for method, opt in options_of(plan.name, args.student, args.device).items():
            write_weights(opt, folder)
            steps[method] = make_step(opt, batch)
        seconds = dict(
            zip(steps, interleaved_medians(list(steps.values()), args.runs, args.device, 1))
        )
    print(
        f'One step, {args.student}, batch {args.batch}, low-resolution images of {size}×{size}, '
        f'×{SCALE}, median of {args.runs}'
    )
    print(
        f'{machine(args.device)}\n\n| method | seconds | against the student alone |\n|---|---|---|'
    )
    for method, value in seconds.items():
        print(f'| {method} | {value:.3f} | {value / seconds["scratch"]:.2f} |')


if __name__ == '__main__':
    main()
