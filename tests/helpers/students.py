"""Students that people deploy, trained by every method for a step, exported and opened again."""

from dataclasses import dataclass
from pathlib import Path

import torch
from conftest import snapshot

from helpers.distillation import batch_of, kd_options, model_of, step
from mtkd_basicsr.commands import export
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.distillers.positions import default_cut
from mtkd_basicsr.functional.padding import run_padded
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build, size_multiple

METHODS = ('MTKD', 'LogitKD', 'AT', 'FAKD', 'CrossKD', 'DUKD')
# Small, at x2.
STUDENTS = {
    'SPAN': {
        'type': 'Spandrel',
        'arch': 'SPAN',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'feature_channels': 8,
        'upscale': 2,
    },
    'Compact': {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 5, 'upscale': 2},
    'ECBSR': {
        'type': 'ECBSR',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_block': 4,
        'num_channel': 8,
        'with_idt': True,
        'act_type': 'prelu',
        'scale': 2,
    },
    'MSRResNet': {'type': 'MSRResNet', 'num_feat': 8, 'num_block': 6, 'upscale': 2},
    'RealPLKSR': {
        'type': 'Spandrel',
        'arch': 'RealPLKSR',
        'dim': 8,
        'n_blocks': 3,
        'kernel_size': 5,
        'upscaling_factor': 2,
    },
    'RCAN': {
        'type': 'RCAN',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_feat': 8,
        'num_group': 3,
        'num_block': 1,
        'squeeze_factor': 1,
        'upscale': 2,
    },
    'SwinIR': {
        'type': 'SwinIR',
        'upscale': 2,
        'in_chans': 3,
        'img_size': 16,
        'window_size': 8,
        'depths': [1, 1, 1],
        'embed_dim': 8,
        'num_heads': [2, 2, 2],
        'mlp_ratio': 2,
        'drop_path_rate': 0.0,
        'upsampler': 'pixelshuffledirect',
        'resi_connection': '1conv',
    },
}


@dataclass(frozen=True)
class Outcome:
    """What a step and an export have shown.

    Attributes:
        without_gradient: Parameters that are trained and got no gradient.
        unchanged: Those that the step left as they were.
        positions: Where the features of the student are read.
        opened_as: Spandrel's name of the exported file; None if it knows no such network, or
            nothing was exported.
        difference: Largest difference of the opened file's output on a photograph, in [0, 1].
    """

    without_gradient: list[str]
    unchanged: list[str]
    positions: tuple[str, ...]
    opened_as: str | None
    difference: float

    @property
    def passed(self):
        return not self.without_gradient and not self.unchanged and self.difference < 1e-4


def photograph():
    """A part of a photograph, (1, 3, 60, 76), RGB, [0, 1]."""
    image = torch.from_numpy(load('chelsea')[100:160, 120:196]).permute(2, 0, 1).float() / 255
    return image[None]


def output(net, lq):
    """What a network gives for an image, cut to its range."""
    with torch.no_grad():
        return run_padded(net, lq, size_multiple(net), 2).clamp(0, 1)


def opened(path, network):
    """The network of an exported file as spandrel opens it, or else as this package does; and
    spandrel's name of it.
    """
    from spandrel import ModelLoader, UnsupportedModelError

    try:
        found = ModelLoader().load_from_file(path)
        return found.model.eval(), found.architecture.name
    except UnsupportedModelError:
        net = build(network, 'network').eval()
        load_weights(net, str(path), 'weights')
        return net, None


def cut_of(student):
    """Where CrossKD enters such a network, if it is the teacher."""
    return default_cut(build(STUDENTS[student], 'network'))


def trained(student, method, photographs, folder, exporting=True):
    """Make a step, save the network, export it and open the file; without ``exporting`` the
    checkpoint itself, as this package does.
    """
    teachers = ('EDSR', 'RCAN') if method == 'MTKD' else ('SwinIR',)
    opt = kd_options(photographs, folder, method, teachers=teachers)
    opt['network_g'] = STUDENTS[student]
    model = model_of(opt, folder)
    net = model.get_bare_model(model.net_g)
    before = snapshot(net)
    step(model, batch_of())
    after = dict(net.named_parameters())
    learnt = {name: p for name, p in after.items() if p.requires_grad}
    without = [name for name, p in learnt.items() if p.grad is None or not p.grad.any()]
    state = net.state_dict()
    same = [
        name
        for name in state
        if any(state[name].data_ptr() == p.data_ptr() for p in learnt.values())
        and torch.equal(state[name], before[name])
    ]
    model.save(0, 1)
    weights = Path(model.opt['path']['models']) / 'net_g_1.pth'
    name = None
    if exporting:
        out = Path(folder) / 'exported.pth'
        export(weights, format='pth', out=out)
        found, name = opened(out, STUDENTS[student])
    else:
        found = build(STUDENTS[student], 'network').eval()
        load_weights(found, str(weights), 'weights')
    lq = photograph()
    expected = output(model.net_g_ema.eval(), lq)
    difference = (output(found, lq.clone()) - expected).abs().max().item()
    positions = tuple(model.distiller.teachers.student_tap.positions)
    return Outcome(without, same, positions, name, difference)
