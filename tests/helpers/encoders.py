"""Small random encoders in the files of CompVis and torchvision, and what they compute.

Nothing here is of the package: networks are functions of the tensors in a file.
"""

import sys
import types

import torch
from torch.nn import functional as F  # noqa: N812

LEVELS = 5
WIDTHS = (32, 32, 32, 64, 64)  # of the released one: 128, 128, 256, 256, 512
BLOCKS = 2
DEPTH = 16  # of a latent and of a code; 256
CODES = 24  # 1024
# VGG19: channels of its convolutions, `None` for a pooling.
VGG19 = [64, 64, None, 128, 128, None, *[256] * 4, None, *[512] * 4, None, *[512] * 4, None]


class _Tensors(dict):
    """Random tensors by name."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def random(self, *shape):
        return torch.randn(shape, generator=self.generator)

    def convolution(self, name, width_in, width, size):
        scale = (width_in * size * size) ** -0.5
        self[f'{name}.weight'] = self.random(width, width_in, size, size) * scale
        self[f'{name}.bias'] = self.random(width) * 0.1

    def norm(self, name, width):
        self[f'{name}.weight'] = 1 + 0.1 * self.random(width)
        self[f'{name}.bias'] = 0.1 * self.random(width)

    def block(self, name, width_in, width):
        self.norm(f'{name}.norm1', width_in)
        self.convolution(f'{name}.conv1', width_in, width, 3)
        self.norm(f'{name}.norm2', width)
        self.convolution(f'{name}.conv2', width, width, 3)
        if width_in != width:
            self.convolution(f'{name}.nin_shortcut', width_in, width, 1)

    def attention(self, name, width):
        self.norm(f'{name}.norm', width)
        for layer in ('q', 'k', 'v', 'proj_out'):
            self.convolution(f'{name}.{layer}', width, width, 1)


def vqgan_state(seed=0, widths=WIDTHS):
    """Tensors of a VQGAN: encoder, codebook, and some of what else a checkpoint has."""
    state = _Tensors(seed)
    state.convolution('encoder.conv_in', 3, widths[0], 3)
    before = widths[0]
    last = len(widths) - 1
    for i, width in enumerate(widths):
        for j in range(BLOCKS):
            state.block(f'encoder.down.{i}.block.{j}', before, width)
            before = width
            if i == last:
                state.attention(f'encoder.down.{i}.attn.{j}', width)
        if i < last:
            state.convolution(f'encoder.down.{i}.downsample.conv', width, width, 3)
    state.block('encoder.mid.block_1', before, before)
    state.attention('encoder.mid.attn_1', before)
    state.block('encoder.mid.block_2', before, before)
    state.norm('encoder.norm_out', before)
    state.convolution('encoder.conv_out', before, DEPTH, 3)
    state.convolution('quant_conv', DEPTH, DEPTH, 1)
    state['quantize.embedding.weight'] = state.random(CODES, DEPTH)
    state.convolution('post_quant_conv', DEPTH, DEPTH, 1)
    state.convolution('decoder.conv_in', DEPTH, before, 3)
    state.convolution('loss.discriminator.main.0', 3, 64, 4)
    return dict(state)


def write_vqgan(path, seed=0, **kwargs):
    """Write a checkpoint as Lightning does, with the class of a callback in it."""
    names = ('pytorch_lightning', 'pytorch_lightning.callbacks')
    module = f'{names[-1]}.model_checkpoint'
    before = {name: sys.modules.get(name) for name in (*names, module)}
    for name in before:
        sys.modules[name] = types.ModuleType(name)
    callback = type('ModelCheckpoint', (), {'__module__': module})
    sys.modules[module].ModelCheckpoint = callback
    try:
        torch.save(
            {
                'epoch': 3,
                'global_step': 100,
                'pytorch-lightning_version': '1.0.8',
                'state_dict': vqgan_state(seed, **kwargs),
                'callbacks': {callback: {'best_model_score': torch.tensor(0.5)}},
                'optimizer_states': [{'state': {}, 'param_groups': [{'lr': 1e-4, 'params': []}]}],
                'lr_schedulers': [],
            },
            path,
        )
    finally:
        for name, value in before.items():
            sys.modules.pop(name)
            if value is not None:
                sys.modules[name] = value
    return str(path)


def _layer(state, name, x, stride=1):
    weight = state[f'{name}.weight']
    padding = 0 if stride == 2 else weight.shape[-1] // 2
    return F.conv2d(x, weight, state[f'{name}.bias'], stride, padding)


def _norm(state, name, x):
    groups = x.reshape(len(x), 32, -1)
    variance, mean = torch.var_mean(groups, -1, keepdim=True, unbiased=False)
    x = ((groups - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
    return x * state[f'{name}.weight'][:, None, None] + state[f'{name}.bias'][:, None, None]


def _swish(x):
    return x * torch.sigmoid(x)


def _block(state, name, x):
    h = _layer(state, f'{name}.conv1', _swish(_norm(state, f'{name}.norm1', x)))
    h = _layer(state, f'{name}.conv2', _swish(_norm(state, f'{name}.norm2', h)))
    if f'{name}.nin_shortcut.weight' in state:
        x = _layer(state, f'{name}.nin_shortcut', x)
    return x + h


def _attention(state, name, x):
    b, c, h, w = x.shape
    normed = _norm(state, f'{name}.norm', x)
    q, k, v = (_layer(state, f'{name}.{n}', normed).reshape(b, c, h * w) for n in 'qkv')
    weights = torch.softmax(torch.einsum('bci,bcj->bij', q, k) / c**0.5, 2)
    mixed = torch.einsum('bij,bcj->bci', weights, v).reshape(x.shape)
    return x + _layer(state, f'{name}.proj_out', mixed)


def vqgan_features(state, images):
    """The first block of each level, and the latents, of images in [0, 1]."""
    x = _layer(state, 'encoder.conv_in', images * 2 - 1)
    features = []
    for i in range(LEVELS):
        for j in range(BLOCKS):
            x = _block(state, f'encoder.down.{i}.block.{j}', x)
            if j == 0:
                features.append(x)
            if i == LEVELS - 1:
                x = _attention(state, f'encoder.down.{i}.attn.{j}', x)
        if i < LEVELS - 1:
            x = _layer(state, f'encoder.down.{i}.downsample.conv', F.pad(x, (0, 1, 0, 1)), 2)
    x = _block(state, 'encoder.mid.block_1', x)
    x = _attention(state, 'encoder.mid.attn_1', x)
    x = _block(state, 'encoder.mid.block_2', x)
    x = _layer(state, 'encoder.conv_out', _swish(_norm(state, 'encoder.norm_out', x)))
    return features, _layer(state, 'quant_conv', x)


def write_vgg19(path, seed=0):
    """Write torchvision's VGG19 as far as it is used, and a piece of its classifier."""
    state = _Tensors(seed)
    before = 3
    for i, width in enumerate(_vgg19_layers()):
        if isinstance(width, int):
            state.convolution(f'features.{i}', before, width, 3)
            before = width
    state.convolution('classifier.6', 8, 1, 1)
    torch.save(dict(state), path)
    return str(path)


def _vgg19_layers():
    """Widths of convolutions, 'relu' and 'pool', by their index in ``features``."""
    layers = []
    for width in VGG19:
        layers += ['pool'] if width is None else [width, 'relu']
    return layers[:30]


def vgg19_features(state, images):
    """relu1_1, relu2_1, … of images in [0, 1]."""
    mean = images.new_tensor([0.485, 0.456, 0.406])[:, None, None]
    std = images.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    x = (images - mean) / std
    features = []
    first = True
    for i, layer in enumerate(_vgg19_layers()):
        if layer == 'pool':
            x = F.max_pool2d(x, 2)
            first = True
        elif layer == 'relu':
            x = F.relu(x)
            if first:
                features.append(x)
            first = False
        else:
            x = _layer(state, f'features.{i}', x)
    return features, None
