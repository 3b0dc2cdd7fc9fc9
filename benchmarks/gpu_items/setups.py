"""Networks, photographs, options and batches that several items use."""

import contextlib
import copy
import io
from pathlib import Path

import torch
import yaml
from basicsr.models import build_model
from basicsr.utils.options import ordered_yaml
from launches import basicsr_masks
from methods import options_of
from timing import write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.data.packed_batches import new_batch
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.utils.cast_once import cast_once
from mtkd_basicsr.utils.resources import option_file
from mtkd_basicsr.weights.networks import build

SCALE = 4
STUDENTS = ('EDSR', 'RCAN', 'SwinIR')
PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket')


def read_yaml(*parts):
    """Return an option file of the package, with every key."""
    return yaml.load(option_file(*parts).read_text(), Loader=ordered_yaml()[0])


def plan_name(context):
    """Return the plan with the paper's networks, or with small ones."""
    return context.pick('paper', 'small')


def patch_size(context):
    """Return the height and width of a low-resolution patch."""
    return context.pick(read_plan(option_file('compare', 'paper.yml')).lq_size, 16)


def quiet():
    """Discard what building a model prints."""
    return contextlib.redirect_stdout(io.StringIO())


def all_methods(context, student='EDSR'):
    """Return the options of a student's training with every method, in fp32, with random weights of
    the teachers in files.

    Longer trainings with the same method, whose names end with a factor, are left out.
    """
    found = options_of(plan_name(context), student, context.device)
    found = {name: opt for name, opt in found.items() if not name.endswith('x')}
    for opt in found.values():
        opt['train']['teacher_precision'] = 'fp32'
        opt.setdefault('path', {})
        write_weights(opt, weights_folder(context, plan_name(context)))
    return found


def weights_folder(context, name=None):
    """Return a folder for weights, created: that of this item, or one that items share."""
    folder = Path(context.files) / 'weights' / (name or context.item)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def batch(context, size, number=None, device='cpu', seed=0):
    """Return a batch of random images with a target, as the data loader gives it."""
    number = number or context.pick(16, 2)
    generator = torch.Generator().manual_seed(seed)
    large = SCALE * size
    gt = torch.rand((number, 3, large, large), generator=generator)
    target = (gt + 0.05 * torch.randn(gt.shape, generator=generator)).clamp(0, 1)
    lq = torch.nn.functional.avg_pool2d(gt, SCALE)
    return {name: x.to(device) for name, x in (('lq', lq), ('gt', gt), ('target', target))}


def packed(data):
    """Return a batch of floats in [0, 1] as bytes, as the dataset of the package packs it."""
    result, places = new_batch({name: x.shape for name, x in data.items()}, None, None)
    for i, of_sample in enumerate(places):
        images = [image for x in data.values() for image in x[i].split(3)]
        for place, image in zip(of_sample, images):
            place[...] = (255 * image).round().byte().numpy()
    return result


def training(opt, device, cached=True, **changes):
    """Build a model for training.

    Args:
        opt: Options, not modified.
        device: ``'cuda'`` or ``'cpu'``.
        cached: Whether the target comes with the batch, as out of a cache.
        changes: Keys of ``train``.

    Returns:
        The model; random numbers for its weights are those of seed 0.
    """
    opt = copy.deepcopy(opt)
    opt['num_gpu'] = int(device == 'cuda')
    opt['train'].update(changes)
    torch.manual_seed(0)
    with quiet():
        model = build_model(opt)
    if cached and hasattr(model, 'distiller'):
        model.distiller.teachers.cached = slice(0, 3)
    return model


def stepper(model, data):
    """Return a function that runs the next step of a model."""
    state = {'iteration': 0}

    def step():
        state['iteration'] += 1
        model.feed_data(data)
        model.optimize_parameters(state['iteration'])

    return step


def gradients(model):
    """Return the gradients of the student and of the adapters, by name."""
    found = {name: p.grad for name, p in model.get_bare_model(model.net_g).named_parameters()}
    for name, p in getattr(model, 'adapters', {}).items():
        found[f'adapters.{name}'] = p.grad
    return {name: grad for name, grad in found.items() if grad is not None}


def student_options(context, student='EDSR'):
    """Return the options of MTKD with a student, cached, in fp32."""
    return all_methods(context, student)['MTKD']


def paper_networks(context):
    """Return the networks of the paper's option file by name: teachers, fusion and student."""
    source = ('mtkd_edsr.yml',) if not context.tiny else ('demo', 'mtkd.yml')
    opt = read_yaml(*source)
    networks = {name: block['network'] for name, block in opt['teachers'].items()}
    networks['fusion'] = opt['fusion']['network']
    networks['student'] = opt['network_g']
    return networks


def random_network(options, device='cpu', spread=0.0):
    """Build a network with the weights of seed 0, in evaluation mode.

    Args:
        options: ``type`` and arguments.
        device: Its device.
        spread: Standard deviation of random numbers to add to weights that start at zero.
    """
    torch.manual_seed(0)
    net = build(copy.deepcopy(dict(options)), 'network').eval()
    if spread:
        with torch.no_grad():
            for p in net.parameters():
                if not p.any():
                    p.normal_(std=spread)
    return net.to(device).requires_grad_(False)


def photographs(context, side=None):
    """Return ground truths (h, w, 3) uint8 RGB and low-resolution images (1, 3, h, w)."""
    side = side or context.pick(480, 64)
    found = []
    for name in PHOTOGRAPHS[: context.pick(4, 1)]:
        gt = load(name)[:side, :side]
        lq = low_resolution(gt, SCALE)
        tensor = torch.from_numpy(lq.copy()).permute(2, 0, 1)[None].float() / 255
        found.append((gt, tensor))
    return found


def swinir_pair(context):
    """Return functions that run SwinIR with the package's masks and with BasicSR's."""
    options = next(o for o in paper_networks(context).values() if o['type'] == 'SwinIR')
    net = random_network(options, context.device)

    def theirs(x):
        with basicsr_masks():
            return net(x)

    return net, theirs


def cast_pair(options, context):
    """Return a frozen network that casts its weights once, and one that leaves it to autocast."""
    once = random_network(options, context.device, spread=0.02)
    anew = copy.deepcopy(once)
    cast_once(once)
    return once, anew
