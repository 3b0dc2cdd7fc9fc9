"""``mtkd upscale``: tiles that fit into memory, and smaller ones when it runs out."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import build, tiny, write_weights
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mtkd_basicsr import commands
from mtkd_basicsr.commands.upscale import tiled_network
from mtkd_basicsr.commands.upscale.run import _upscale
from mtkd_basicsr.commands.upscale.tiled_network import TiledNetwork
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.errors import DataError
from mtkd_basicsr.utils import progress as progress_module
from mtkd_basicsr.utils.picture import read_picture

CPU = torch.device('cpu')


@pytest.fixture
def picture(tmp_path):
    """A photograph of 300×451 pixels, as a file."""
    cv2.imwrite(str(tmp_path / 'cat.png'), np.ascontiguousarray(load('chelsea')[..., ::-1]))
    return tmp_path / 'cat.png'


@pytest.fixture
def weights(tmp_path):
    network = tiny('EDSR', 2)
    metadata = {'network': network, 'scale': 2, 'version': '0'}
    return write_weights(tmp_path / 'edsr.pth', network, 3, mtkd=metadata)


def network(arch='EDSR', tile=None, overlap=32):
    net = build(tiny(arch, 2), 3).eval().requires_grad_(False)
    return TiledNetwork(net, 2, CPU, tile, overlap)


def with_memory(monkeypatch, free):
    monkeypatch.setattr(tiled_network, 'available_memory', lambda device: free)


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
def test_tiles_are_as_large_as_memory_allows(monkeypatch, arch):
    net = network(arch)
    with_memory(monkeypatch, 10**12)
    assert net.tile_size(500, 512, 0) == (500, 512), 'the whole image'
    assert net.tile_size(600, 300, 0) == (320, 300), 'two of equal size'
    with_memory(monkeypatch, None)
    assert net.tile_size(4000, 6000, 0) == (480, 496), 'where the system does not tell'
    side = 200
    with_memory(monkeypatch, int(2.2 * net.pixel_bytes * side**2))
    h, w = net.tile_size(4000, 6000, 0)
    assert 150 < h <= 224
    assert 150 < w <= 224
    assert h % net.multiple == w % net.multiple == 0
    for little in (0, 10**5):
        with_memory(monkeypatch, little)
        assert net.tile_size(4000, 6000, 0) == (64, 64), 'the smallest ones'
    with_memory(monkeypatch, 10**10)
    assert net.tile_size(4000, 6000, 10**10) == (64, 64), 'the result takes it all'


def test_a_tile_of_the_user_is_taken(monkeypatch):
    with_memory(monkeypatch, 10**5)
    assert network(tile=300, overlap=8).tile_size(4000, 6000, 0) == (300, 300)


@pytest.mark.parametrize('arch', ['EDSR', 'SwinIR'])
def test_memory_is_measured_as_the_network_uses_it(arch):
    """What is measured on a small image holds for a larger one."""
    net = network(arch)
    net.tile_size(1000, 1000, 0)
    expected = tiled_network.peak_bytes(net, torch.rand(1, 3, 96, 96)) / 96**2
    assert net.pixel_bytes == pytest.approx(expected, rel=0.15)


def test_automatic_tiles_give_what_the_whole_image_gives(
    picture, weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    commands.upscale([picture], weights=weights, out='whole.png')
    monkeypatch.setattr(tiled_network, '_LARGEST', 128)
    monkeypatch.setattr(progress_module, 'on_terminal', lambda: True)
    commands.upscale([picture], weights=weights, out='tiles.png')
    whole = cv2.imread('whole.png').astype(int)
    assert np.abs(whole - cv2.imread('tiles.png')).max() <= 1
    assert 'cat.png:  ' in capsys.readouterr().err.replace('\r', '\n'), 'a bar'


def test_progress_counts_tiles(picture, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress_module, '_MIN_SECONDS', 0)
    monkeypatch.setattr(progress_module, '_MIN_SHARE', 0)
    commands.upscale([picture], weights=weights, tile=128, out='a')
    assert 'cat.png (tile): 15 of 15' in capsys.readouterr().err
    commands.upscale([picture], weights=weights, out='b')
    assert 'tile' not in capsys.readouterr().err, 'one tile needs no bar'


class Hungry(nn.Module):
    """Enlarges twofold, and raises the error of a device where an image has too many pixels."""

    def __init__(self, most, error):
        super().__init__()
        self.most = most
        self.error = error
        self.sizes = []

    def forward(self, x):
        h, w = x.shape[-2:]
        self.sizes.append((h, w))
        if h * w > self.most:
            raise self.error
        return F.interpolate(x, scale_factor=2)


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB.'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError('Unable to allocate 1 GiB'),
    ],
    ids=['CUDA', 'CPU', 'numpy'],
)
@pytest.mark.parametrize('tile', [None, 300])
def test_tiles_become_smaller_when_memory_runs_out(picture, capsys, error, tile):
    net = Hungry(160**2, error)
    small = TiledNetwork(net, 2, CPU, tile, 16)
    image = read_picture(picture, 'cat.png')
    result = _upscale(image, small, 'png', 'cat.png')
    assert np.array_equal(result, image.pixels.repeat(2, 0).repeat(2, 1))
    printed = capsys.readouterr().out
    assert f'not enough memory for tiles of {tile or 451} pixels; continuing with' in printed
    tried = len(net.sizes)
    _upscale(image, small, 'png', 'dog.png')
    assert max(h * w for h, w in net.sizes[tried:]) <= 160**2, 'the next picture begins with them'


def test_other_errors_are_not_taken_for_memory(picture):
    net = TiledNetwork(Hungry(0, RuntimeError('shapes differ')), 2, CPU, None, 16)
    with pytest.raises(RuntimeError, match='shapes differ'):
        _upscale(read_picture(picture, 'cat.png'), net, 'png', 'cat.png')


def test_too_little_memory_for_any_tile_is_an_error_that_names_the_option(picture):
    net = TiledNetwork(Hungry(40**2, MemoryError()), 2, CPU, None, 32)
    with pytest.raises(
        DataError,
        match='not enough memory on cpu for tiles of 64 pixels; close other programs, or use a '
        r'smaller tile \(with a smaller tile_overlap\) or another device',
    ):
        _upscale(read_picture(picture, 'cat.png'), net, 'png', 'cat.png')


@pytest.mark.parametrize('tile', [None, 1000, 250, 100, 65])
@pytest.mark.parametrize('overlap', [0, 16, 48])
def test_tiles_shrink_to_the_smallest_whatever_they_begin_with(picture, tile, overlap):
    smallest = 96 if tile is None and overlap == 48 else 64
    network = TiledNetwork(Hungry(smallest**2, MemoryError()), 2, CPU, tile, overlap)
    image = read_picture(picture, 'cat.png')
    result = _upscale(image, network, 'png', 'cat.png')
    assert np.array_equal(result, image.pixels.repeat(2, 0).repeat(2, 1))


LIMITED = """
import resource, sys
from mtkd_basicsr.commands import upscale
from mtkd_basicsr.commands.upscale import run
from mtkd_basicsr.utils import memory
import mtkd_basicsr.commands._registration
used = 1024 * memory._entry(memory.Path('/proc/self/status'), 'VmSize')
limit = used + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
picture, weights, *outs = sys.argv[2:]
for out, tile in zip(outs, (None, 900)):
    upscale([picture], weights=weights, out=out, tile=tile)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='limits of Linux')
def test_a_large_picture_fits_into_an_address_space_that_is_small(tmp_path, weights):
    image = cv2.resize(np.ascontiguousarray(load('chelsea')[..., ::-1]), (900, 700))
    names = [str(tmp_path / name) for name in ('large.png', 'free.png', 'a.png', 'b.png')]
    picture, free, *outs = names
    cv2.imwrite(picture, image)
    commands.upscale([picture], weights=weights, out=free, tile=900)
    command = [sys.executable, '-c', LIMITED, str(150 * 2**20), picture, str(weights), *outs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('tiles of 900 pixels; continuing with 450') == 1
    for out in outs:
        assert np.abs(cv2.imread(free).astype(int) - cv2.imread(out)).max() <= 1


@pytest.mark.gpu
def test_tiles_become_smaller_on_a_gpu(picture, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands.upscale([picture], weights=weights, out='whole.png', device='cuda')
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(60 * 2**20 / total)
    try:
        commands.upscale([picture], weights=weights, out='tiles.png', device='cuda', tile=451)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 'continuing with 225' in capsys.readouterr().out
    whole = cv2.imread('whole.png').astype(int)
    assert np.abs(whole - cv2.imread('tiles.png')).max() <= 1
