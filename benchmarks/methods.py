"""One training step of each method against one of the student alone: same student, same trainer,
same teachers.

    python benchmarks/methods.py [--plan paper|small|reference] [--student EDSR|RCAN|SwinIR]
    [--device cpu|cuda] [--threads N] [--runs N] [--batch N] [--methods NAME …] [--record]

Options are those of options/compare/paper.yml at ×4 (--small: small.yml), and DCKD's those of
LogitKD, with an encoder of the size of the released one. Weights are random. Outputs of the
teachers come out of a cache, as they do in a comparison; what a method needs beyond them (features,
DUKD's new images) is computed.

    python benchmarks/methods.py --plan reference --student SwinIR --threads 1 --runs 9 --record

puts the ratios into benchmarks/results/step_costs.json, from which benchmarks/tables.py takes how
many iterations of a method take as long as those of another one. They are ratios of the time of
the processor, so that other work on the machine changes them little.
"""

import copy
import json
import tempfile
import time
from pathlib import Path

import torch
from basicsr.models import build_model
from timing import interleaved_medians, machine, parser, write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.archs.vqgan_encoder import VQGANEncoder, VQGANSizes
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.utils.atomic import write_text
from mtkd_basicsr.utils.resources import option_file

SCALE = 4
COSTS = Path(__file__).resolve().parent / 'results' / 'step_costs.json'
# The encoder of vqgan_imagenet_f16_1024, and a small one.
ENCODER = VQGANSizes(128, (128, 128, 256, 256, 512), 2, (4,), 256, 256, 1024)
SMALL_ENCODER = VQGANSizes(32, (32, 32, 32, 64, 64), 2, (4,), 16, 16, 64)


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


def dckd_options(opt, folder, sizes):
    """Options of DCKD, from those of another method with one teacher, with a random encoder.

    Args:
        opt (dict): Options of ``LogitKD``, not modified.
        folder: Folder for the encoder's file.
        sizes (VQGANSizes): Of the encoder.
    """
    path = Path(folder) / 'vqgan.ckpt'
    torch.manual_seed(0)
    torch.save({'state_dict': VQGANEncoder(sizes).state_dict()}, path)
    opt = copy.deepcopy(opt)
    opt['train']['kd'].update(type='DCKD', encoder_weights=str(path))
    return opt


def make_step(opt, batch):
    model = build_model(copy.deepcopy(opt))
    context = model.distiller.teachers
    # What a cache does: its first three channels are the target.
    context.cached = slice(0, 3)

    def step():
        model.feed_data(batch)
        model.optimize_parameters(1)

    return step


def record(args, ratios):
    """Put the ratios of a student into the file that tables are made from."""
    content = json.loads(COSTS.read_text()) if COSTS.is_file() else {}
    content[args.student] = {
        'plan': args.plan,
        'batch': args.batch,
        'machine': machine(args.device),
        'ratios': {method: round(ratio, 3) for method, ratio in ratios.items()},
    }
    write_text(COSTS, json.dumps(content, indent=2, sort_keys=True) + '\n')


def arguments():
    p = parser(__doc__.splitlines()[0], runs=5)
    p.add_argument('--batch', type=int, help='images of a step; default: 2, or those of reference')
    p.add_argument('--student', default='EDSR', help='a student of the plan')
    p.add_argument('--plan', default='paper', choices=('paper', 'small', 'reference'))
    p.add_argument('--small', action='store_const', const='small', dest='plan')
    p.add_argument('--methods', nargs='+', help='only these, and the student alone')
    p.add_argument('--record', action='store_true', help='into benchmarks/results')
    args = p.parse_args()
    if args.record and (args.plan, args.device) != ('reference', 'cpu'):
        p.error('--record is for --plan reference on a CPU')
    return args


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    plan = read_plan(option_file('compare', f'{args.plan}.yml'))
    size = plan.lq_size
    if args.batch is None:
        of_the_plan = plan.options['datasets']['train']['batch_size_per_gpu']
        args.batch = of_the_plan if args.plan == 'reference' else 2
    batch = {
        'lq': torch.rand(args.batch, 3, size, size),
        'gt': torch.rand(args.batch, 3, SCALE * size, SCALE * size),
    }
    batch['target'] = torch.rand_like(batch['gt'])
    with tempfile.TemporaryDirectory() as folder:
        steps = {}
        options = options_of(plan.name, args.student, args.device)
        sizes = ENCODER if args.plan == 'paper' else SMALL_ENCODER
        if not args.record:  # that plan has no DCKD
            options['DCKD'] = dckd_options(options['LogitKD'], folder, sizes)
        for method, opt in options.items():
            if args.methods and method not in ('scratch', *args.methods):
                continue
            write_weights(opt, folder)
            steps[method] = make_step(opt, batch)
        seconds = dict(
            zip(
                steps,
                interleaved_medians(
                    list(steps.values()),
                    args.runs,
                    args.device,
                    1,
                    time.process_time if args.record else time.perf_counter,
                ),
            )
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
    if args.record:
        record(args, {method: value / seconds['scratch'] for method, value in seconds.items()})


if __name__ == '__main__':
    main()
