"""What the tests of the distillation methods share."""

import re
from pathlib import Path

import torch
from basicsr.models import build_model
from conftest import ROOT, build, options_for, override, parsed, tiny, write_weights

from helpers.encoders import write_vqgan
from mtkd_basicsr.distillers import METHODS as KNOWN

METHODS = tuple(KNOWN)


def documented_losses():
    """What docs/methods.md says that each method adds to l_pix and l_distill, by default."""
    page = (ROOT / 'docs' / 'methods.md').read_text(encoding='utf-8')
    table = page.partition('| `train.kd.type` |')[2].partition('\n\n')[0]
    losses = {}
    for row in table.splitlines()[2:]:
        method = row.split('|')[1].strip(' `')
        losses[method] = set(re.findall(r'`(l_\w+)`', row))
    return losses


EXTRA = documented_losses()
ARCHS = ('EDSR', 'RCAN', 'SwinIR')


def network(arch, wide=False, **changes):
    """A tiny network of several blocks without random parts."""
    # With fewer hidden units in its attention a RCAN would have blocks where all of them are dead.
    parts = {
        'EDSR': {'num_block': 3},
        'RCAN': {'num_group': 3, 'squeeze_factor': 1},
        'SwinIR': {'depths': [1, 1, 1], 'num_heads': [2, 2, 2], 'drop_path_rate': 0.0},
    }[arch]
    width = {'embed_dim' if arch == 'SwinIR' else 'num_feat': 12} if wide else {}
    return tiny(arch, 2, **{**parts, **width, **changes})


def kd_options(photographs, folder, kd, student='EDSR', teachers=('SwinIR',), wide=True, **changes):
    """Options of a training by ``KDModel`` at ×2; ``kd`` is ``train.kd``, or its type alone."""
    kd = with_encoder({'type': kd} if isinstance(kd, str) else kd, folder)
    opt = options_for(photographs, folder, 'MTKDModel')
    opt.update(name='kd', model_type='KDModel', network_g=network(student))
    networks = {a: network(a, wide) for a in teachers}
    opt['teachers'] = {
        a.lower(): {'network': net, 'weights': write_weights(Path(folder) / f'{a}.pth', net, i + 5)}
        for i, (a, net) in enumerate(networks.items())
    }
    fusion = tiny('DCTSwin', 2, in_chans=3 * len(teachers))
    opt['fusion'] = {
        'network': fusion,
        'weights': write_weights(Path(folder) / 'fusion.pth', fusion, 3),
    }
    opt['train'].update(
        kd=kd,
        distill_opt={'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        pixel_opt={'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
    )
    opt['datasets']['train']['batch_size_per_gpu'] = 3
    if kd['type'] == 'Scratch':
        for key in ('teachers', 'fusion'):
            del opt[key]
    return override(opt, changes)


def with_encoder(kd, folder):
    """The same ``train.kd``; where DCKD lacks the file of its encoder, it gets a small one."""
    if 'also' in kd and isinstance(kd['also'], list):
        kd = {**kd, 'also': [with_encoder(k, folder) if k == 'DCKD' else k for k in kd['also']]}
    kd = {'type': kd} if isinstance(kd, str) else kd
    if kd.get('type') == 'DCKD' and 'encoder_weights' not in kd:
        path = Path(folder) / 'vqgan.ckpt'
        kd = {**kd, 'encoder_weights': str(path) if path.exists() else write_vqgan(path)}
    return kd


def model_of(opt, root):
    """The model of a training, with random weights that belong to the seed, and without zeros."""
    opt = parsed(opt, True, root)
    for key in ('models', 'training_states'):
        Path(opt['path'][key]).mkdir(parents=True, exist_ok=True)
    torch.manual_seed(opt['manual_seed'])
    return build_model(opt)


def batch_of(b=3, n=8, seed=0):
    """Images of a step: not photographs, but nothing in them is equal."""
    generator = torch.Generator().manual_seed(seed)
    lq = torch.rand(b, 3, n, n, generator=generator)
    noise = torch.rand(b, 3, 2 * n, 2 * n, generator=generator)
    return {'lq': lq, 'gt': 0.5 * torch.nn.functional.interpolate(lq, scale_factor=2) + 0.5 * noise}


def step(model, batch, iteration=1):
    """One step; gives the log."""
    model.feed_data(batch)
    model.optimize_parameters(iteration)
    return dict(model.get_current_log())


def losses(model, batch, iteration=1):
    """The losses of a step, as tensors, without making it."""
    model.feed_data(batch)
    return model.losses(iteration)


def frozen_networks(model):
    """All networks of a training that nobody trains."""
    context = model.distiller.teachers
    nets = {id(e): e for e in context.ensembles.values()}
    return [*nets.values(), *([context.fused_teachers] if context.fused_teachers else [])]


def teacher_net(opt, name):
    """A teacher out of its file, apart from the package's own."""
    net = build(opt['teachers'][name]['network'])
    net.load_state_dict(torch.load(opt['teachers'][name]['weights'], weights_only=True)['params'])
    return net.eval()
