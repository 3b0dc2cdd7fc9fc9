"""What costs many operations and little arithmetic, before and now: attention masks of SwinIR, the
moving average, casts of frozen weights.

    python benchmarks/launches.py [--device cpu|cuda] [--threads N] [--runs N] [--batch N] [--small]

The networks are the paper's, with random weights. What was before and what is now take turns in one
process. On a CPU times are those of the process, not of a clock on the wall: other processes take
nothing of them.
"""

import contextlib
import copy
import time
from types import SimpleNamespace

import torch
import yaml
from basicsr.archs.swinir_arch import SwinTransformerBlock
from basicsr.models.base_model import BaseModel
from basicsr.utils.options import ordered_yaml
from timing import interleaved_medians, machine, parser
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.utils import cast_once as layers
from mtkd_basicsr.utils.cast_once import cast_once
from mtkd_basicsr.utils.moving_average import MovingAverage
from mtkd_basicsr.utils.resources import option_file
from mtkd_basicsr.weights.networks import build

TORCHS_OWN = {layers.Conv2d: nn.Conv2d, layers.Linear: nn.Linear}


class Operations(TorchDispatchMode):
    """Within it, operations of torch are counted."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


def count(function):
    """Operations of torch in a call; those of a first call alone are left out."""
    function()
    with Operations() as operations:
        function()
    return operations.total


@contextlib.contextmanager
def basicsr_masks():
    """Within it SwinIR computes its attention masks as BasicSR does."""
    ours = SwinTransformerBlock.calculate_mask
    SwinTransformerBlock.calculate_mask = ours.__wrapped__
    try:
        yield
    finally:
        SwinTransformerBlock.calculate_mask = ours


def with_basicsr_masks(function):
    """A function that calls another one within :func:`basicsr_masks`."""

    def call():
        with basicsr_masks():
            return function()

    return call


def basicsr_average(average, network, decay):
    """BasicSR's moving average, a loop over the parameters."""
    model = SimpleNamespace(net_g=network, net_g_ema=average, get_bare_model=lambda net: net)
    BaseModel.model_ema(model, decay)


def casting_anew(net):
    """A copy of a network that casts its weights at each forward pass, as autocast does alone."""
    net = copy.deepcopy(net)
    for module in net.modules():
        module.__class__ = TORCHS_OWN.get(type(module), type(module))
    return net


def networks(small):
    """The student and the teachers by name, as options."""
    read = ordered_yaml()[0]
    opt = yaml.load(option_file('mtkd_swinir.yml').read_text(), Loader=read)
    rcan = yaml.load(option_file('mtkd_rcan.yml').read_text(), Loader=read)['network_g']
    found = {name: block['network'] for name, block in opt['teachers'].items()}
    found.update(student=opt['network_g'], rcan_student=rcan)
    if small:
        for name in ('swinir', 'student'):
            found[name].update(depths=[2], num_heads=[2], embed_dim=12)
        for name in ('rcan', 'rcan_student'):
            found[name].update(num_group=1, num_block=2)
    return found


def training_step(net, batch, size):
    """Forward and backward of a student."""
    device = next(net.parameters()).device
    lq = torch.rand(batch, 3, size, size, device=device)
    gt = torch.rand(batch, 3, 4 * size, 4 * size, device=device)

    def step():
        net.zero_grad()
        (net(lq) - gt).abs().mean().backward()

    return step


def inference(net, size, bf16):
    """A forward pass of a frozen network."""
    device = next(net.parameters()).device
    lq = torch.rand(1, 3, size, size, device=device)

    def forward():
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return net(lq)

    return forward


def adam_step(options, device, fused):
    """A step of Adam over the parameters of a network."""
    net = build(options, 'network_g').to(device)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    return torch.optim.Adam(net.parameters(), 1e-6, fused=fused).step


def main():
    p = parser(__doc__.splitlines()[0], runs=10)
    p.add_argument('--batch', type=int, default=1, help='images of a training step')
    p.add_argument('--small', action='store_true', help='small networks and images')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    options = networks(args.small)
    clock = time.process_time if args.device == 'cpu' else time.perf_counter
    print(f'{machine(args.device)}\n\n| | before | now | ratio |\n|---|---|---|---|', flush=True)

    def row(text, before, now, unit):
        values = f'{before:.4g}{unit} | {now:.4g}{unit} | {before / now:.2f}'
        print(f'| {text} | {values} |', flush=True)

    def timed(text, before, now, runs=args.runs):
        row(text, *interleaved_medians([before, now], runs, args.device, clock=clock), ' s')

    student = build(options['student'], 'network_g').to(args.device)
    size = 16 if args.small else 32
    step = training_step(student, args.batch, size)
    text = f'masks: step of the SwinIR student, batch {args.batch}, {size}×{size}'
    timed(text, with_basicsr_masks(step), step)
    averaged = copy.deepcopy(student)
    average = MovingAverage(averaged, student)
    adam = torch.optim.Adam(student.parameters(), 1e-6)

    def whole_before():
        with basicsr_masks():
            step()
        adam.step()
        basicsr_average(averaged, student, 0.999)

    def whole_now():
        step()
        adam.step()
        average.update(0.999)

    timed(f'{text}, with Adam and moving average', whole_before, whole_now)

    swinir = build(options['swinir'], 'network').to(args.device).eval()
    size = 24 if args.small else 120
    forward = inference(swinir, size, bf16=False)
    text = f'masks: SwinIR teacher, an image of {size}×{size}'
    timed(text, with_basicsr_masks(forward), forward, max(1, args.runs // 3))

    network = build(options['rcan_student'], 'network_g').to(args.device)
    averaged_rcan = copy.deepcopy(network)
    average_rcan = MovingAverage(averaged_rcan, network)

    def loop():
        basicsr_average(averaged_rcan, network, 0.999)

    def lists():
        average_rcan.update(0.999)

    number = len(list(network.parameters()))
    text = f'moving average of the RCAN student, {number} tensors'
    row(f'{text}: operations', count(loop), count(lists), '')
    timed(f'{text}: time', loop, lists)

    rcan = build(options['rcan'], 'network').to(args.device).eval().requires_grad_(False)
    cast_once(rcan)
    before = inference(casting_anew(rcan), 4, bf16=True)
    now = inference(rcan, 4, bf16=True)
    row('RCAN teacher in bf16: operations', count(before), count(now), '')
    timed('RCAN teacher in bf16, an image of 4×4: time', before, now)

    plain, fused = (adam_step(options['rcan_student'], args.device, x) for x in (None, True))
    timed('a step of Adam for the RCAN student: as it is / with fused: true', plain, fused)


if __name__ == '__main__':
    main()
