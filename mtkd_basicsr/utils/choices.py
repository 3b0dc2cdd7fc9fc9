"""Choices that the command line shares with the code behind it; imports nothing slow."""

from typing import Literal, get_args

# What a target cache can hold: the fused target (stage 2), or the output of each teacher (stage 1).
CacheContents = Literal['target', 'teachers']
CACHE_CONTENTS: tuple[CacheContents, ...] = get_args(CacheContents)

# The precisions that networks can run in; `auto` is bf16 on machines that have it natively, else
# fp32.
PRECISIONS = ('auto', 'bf16', 'fp32')

# Values of `train.compile` beside true and false: the mode of torch.compile that records what it
# has compiled as CUDA graphs, and its backend that records the kernels of torch as they are.
COMPILED_GRAPHS = 'reduce-overhead'
PLAIN_GRAPHS = 'cudagraphs'
CUDA_GRAPHS = (COMPILED_GRAPHS, PLAIN_GRAPHS)

# Random weights that a student can start from, beside its own: a value of `train.init`.
HE = 'he'

# How several processes are started, as BasicSR knows it.
LAUNCHERS = ('none', 'pytorch', 'slurm')

# Formats of exported students, with the endings of their files.
EXPORT_FORMATS = {
    'onnx': '.onnx',
    'torchscript': '.pt',
    'safetensors': '.safetensors',
    'pth': '.pth',
}

# Formats of upscaled images, with the endings of their names; the first one is written.
PICTURE_FORMATS = {'png': ('.png',), 'jpg': ('.jpg', '.jpeg'), 'webp': ('.webp',)}

# Overlap of neighbouring tiles, in low-resolution pixels. Measured with three networks on
# photographs, ×4 (benchmarks/tiling.py).
TILE_OVERLAP = 32

# PSNR (dB) of bicubic enlargement on the Y channel, as papers give it for these test sets, by
# scale; and their number of images.
BICUBIC = {
    'Set5': (5, {2: 33.66, 3: 30.39, 4: 28.42}),
    'Set14': (14, {2: 30.24, 3: 27.55, 4: 26.00}),
    'B100': (100, {2: 29.56, 3: 27.21, 4: 25.96}),
    'Urban100': (100, {2: 26.88, 3: 24.46, 4: 23.14}),
}
