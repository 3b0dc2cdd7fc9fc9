"""One training step of the student, with the paper's networks (options/mtkd_edsr.yml): what the
teachers cost.

    python benchmarks/step.py [--device cpu|cuda] [--threads N] [--runs N] [--batch N] [--size N]

a: the student alone, against the ground truth (BasicSR's SRModel).
b: MTKD with the fused target out of the cache.
c: MTKD, teachers and fusion network at every step, frozen.
d: as c, with gradients through teachers and fusion network, as in the authors' code.

Weights are random. Time is taken in one process, in turns; memory in a process of its own for each
of the four.
"""

import copy
import resource
import subprocess
import sys
import tempfile

import torch
import yaml
from basicsr.models import build_model
from basicsr.utils.options import ordered_yaml
from timing import interleaved_medians, machine, parser, write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.utils.resources import option_file

LETTERS = 'abcd'


def read_options(device, small):
    opt = yaml.load(option_file('mtkd_edsr.yml').read_text(), Loader=ordered_yaml()[0])
    opt.update(num_gpu=int(device == 'cuda'), dist=False, rank=0, world_size=1, is_train=True)
    opt['datasets']['train']['target_cache'] = None
    if small:
        demo = yaml.load(option_file('demo', 'mtkd.yml').read_text(), Loader=ordered_yaml()[0])
        opt.update({key: demo[key] for key in ('teachers', 'fusion', 'network_g')})
    return opt


def with_gradients(model, batch):
    """A step in which nothing is frozen."""
    distiller = model.distiller
    target = distiller.teachers.fused_teachers
    for net in (target.ensemble, target.fusion):
        net.requires_grad_(True)
    lq = batch['lq'].to(model.device)
    gt = batch['gt'].to(model.device)

    def step():
        model.optimizer_g.zero_grad()
        outputs = torch.cat([net(lq) for net in target.ensemble.networks], 1)
        fused = target.fusion(outputs)
        result = model.net_g(lq)
        loss = distiller.pixel_loss(result, gt) + distiller.distill_loss(result, fused)
        loss.backward()
        model.optimizer_g.step()
        model.model_ema(decay=model.ema_decay)
        # the authors' optimizer holds the student alone: nobody else clears them
        for p in target.parameters():
            p.grad = None

    return step


def make_step(letter, opt, args):
    opt = copy.deepcopy(opt)
    if letter == 'a':
        opt['model_type'] = 'SRModel'
    model = build_model(opt)
    size = args.size * opt['scale']
    batch = {
        'lq': torch.rand(args.batch, 3, args.size, args.size),
        'gt': torch.rand(args.batch, 3, size, size),
    }
    if letter == 'b':
        batch['target'] = torch.rand_like(batch['gt'])
        context = model.distiller.teachers  # what a matching cache does: no teacher in memory
        context.cached = slice(0, 3)
        context.fused_teachers = None
        context.ensembles = {}
    if letter == 'd':
        return with_gradients(model, batch)

    def step():
        model.feed_data(batch)
        model.optimize_parameters(1)

    return step


def peak_memory(letter, folder, args):
    """Peak memory of three steps in GiB, in a process of its own."""
    command = [
        sys.executable,
        __file__,
        '--device',
        args.device,
        '--threads',
        str(args.threads),
        '--batch',
        str(args.batch),
        '--size',
        str(args.size),
        '--only',
        letter,
        '--weights',
        folder,
        *(['--small'] if args.small else []),
    ]
    return float(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    )


def main():
    p = parser(__doc__.splitlines()[0], runs=5)
    p.add_argument('--batch', type=int, default=2, help='images of a step')
    p.add_argument(
        '--size', type=int, default=32, help='height and width of the low-resolution images'
    )
    p.add_argument('--small', action='store_true', help="the demo's networks")
    p.add_argument('--only', choices=LETTERS, help='peak memory of one of them alone')
    p.add_argument('--weights', help='folder with weights of an earlier call')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    opt = read_options(args.device, args.small)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.weights or temporary
        write_weights(opt, folder)
        if args.only:
            # random numbers stand in for the cache, which would have kept the teachers from being
            # built
            if args.only == 'b':
                for block in opt['teachers'].values():
                    block['network'] = {
                        'type': 'EDSR',
                        'num_in_ch': 3,
                        'num_out_ch': 3,
                        'num_feat': 4,
                        'num_block': 1,
                        'upscale': 4,
                    }
                write_weights(opt, tempfile.mkdtemp(dir=temporary))
            step = make_step(args.only, opt, args)
            for _ in range(3):
                step()
            peak = (
                torch.cuda.max_memory_allocated()
                if args.device == 'cuda'
                else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            )
            print(peak / 2**30)
            return
        memory = {letter: peak_memory(letter, folder, args) for letter in LETTERS}
        steps = {letter: make_step(letter, opt, args) for letter in LETTERS}
        # a and b are short: they are repeated more often, and not among steps that empty all caches
        # of the processor.
        seconds = {}
        for letters, runs in (('ab', 6 * args.runs), ('bcd', args.runs)):
            seconds = {
                **dict(
                    zip(
                        letters,
                        interleaved_medians([steps[x] for x in letters], runs, args.device, 1),
                    )
                ),
                **seconds,
            }
    print(
        f'One step, batch {args.batch}, low-resolution images of {args.size}×{args.size}, ×4, '
        f'median of {args.runs}'
    )
    print(f'{machine(args.device)}\n\n| | seconds | peak memory, GiB |\n|---|---|---|')
    texts = (
        'student alone',
        'MTKD, cached target',
        'MTKD, teachers at every step',
        'with gradients through them',
    )
    for letter, text in zip(LETTERS, texts):
        print(f'| {letter}: {text} | {seconds[letter]:.3f} | {memory[letter]:.2f} |')
    print(
        f'\nb / a: {seconds["b"] / seconds["a"]:.2f} (time), {memory["b"] / memory["a"]:.2f} '
        '(memory)'
    )
    print(
        f'c / b: {seconds["c"] / seconds["b"]:.1f} (time)\nd / b: '
        f'{seconds["d"] / seconds["b"]:.1f} (time)'
    )


if __name__ == '__main__':
    main()
