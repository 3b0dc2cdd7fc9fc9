"""``mtkd export``: what a file gives is what BasicSR's network gives, at every size; else there is
no file.
"""

import dataclasses
import errno
import json
import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from conftest import ROOT, build, run, tiny, write_options, write_weights
from safetensors import safe_open
from safetensors.torch import load_file

from mtkd_basicsr.commands.export import formats
from mtkd_basicsr.commands.export import run as export
from mtkd_basicsr.commands.export.run import inputs
from mtkd_basicsr.commands.export.traceable import TraceableStudent, TraceableSwinBlock
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.functional.padding import run_padded
from mtkd_basicsr.utils.version import __version__
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build as build_network

SUFFIXES = {'onnx': '.onnx', 'torchscript': '.pt', 'safetensors': '.safetensors'}
# What a file says about itself.
TEXTS = (
    *('format', 'network', 'scale', 'mtkd_basicsr'),
    *('color_order', 'value_range', 'precision'),
)
# Both orientations, one window, one row and one column of windows, SwinIR's own image size, less
# than a window, one pixel; batches.
SIZES = [
    (1, 50, 33),
    (1, 33, 50),
    (1, 8, 8),
    (2, 8, 40),
    (1, 40, 8),
    (2, 16, 16),
    (3, 5, 20),
    (1, 1, 1),
]


def student(arch):
    """A network whose attention is so uneven that a wrong mask shows."""
    net = build(tiny(arch, 2), 3).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if 'qkv.weight' in name or 'relative_position_bias' in name:
                p *= 20
    return net


@pytest.fixture
def weights(tmp_path):
    """Writes the checkpoint of a student, whose moving average is the better one, as ``mtkd train``
    does.
    """

    def write(arch, **changes):
        network = tiny(arch, 2)
        content = {
            'params': build(network, 8).state_dict(),
            'params_ema': student(arch).state_dict(),
            'mtkd': {'network': network, 'scale': 2, 'version': '0'},
            **changes,
        }
        torch.save(content, tmp_path / 'student.pth')
        return 'student.pth'

    return write


def photograph(b, h, w):
    image = torch.from_numpy(load('coffee')[100:, 120:]).permute(2, 0, 1).float() / 255
    return torch.stack([image[:, i : i + h, i : i + w] for i in range(b)])


def expected(net, lq):
    """BasicSR's own network on the reflected image."""
    (h, w), multiple = lq.shape[2:], 8 if type(net).__name__ == 'SwinIR' else 1
    padded = np.pad(
        lq.numpy(), ((0, 0), (0, 0), (0, -h % multiple), (0, -w % multiple)), mode='reflect'
    )
    with torch.no_grad():
        return net(torch.from_numpy(padded))[..., : 2 * h, : 2 * w].clamp(0, 1)


def opened(path):
    """What a file gives, and what it says about itself; without this project where another program
    would be without it.
    """
    if path.suffix == '.onnx':
        session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        (lq,) = session.get_inputs()
        assert (lq.name, lq.shape) == ('lq', ['batch', 3, 'height', 'width'])
        return lambda x: torch.from_numpy(
            session.run(None, {'lq': x.numpy()})[0]
        ), session.get_modelmeta().custom_metadata_map
    if path.suffix == '.pt':
        texts = dict.fromkeys(TEXTS, '')
        graph = torch.jit.load(str(path), _extra_files=texts)
        return graph, {name: text.decode() for name, text in texts.items()}
    with safe_open(path, framework='pt') as file:
        texts = file.metadata()
    net = build(json.loads(texts['network'])).eval()
    net.load_state_dict(load_file(path))
    return lambda lq: run_padded(net, lq, 8 if type(net).__name__ == 'SwinIR' else 1, 2).clamp(
        0, 1
    ), texts


# A graph of ONNX is recorded for seconds.
FORMS = [pytest.param(f, marks=pytest.mark.slow if f == 'onnx' else ()) for f in SUFFIXES]


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
def test_a_file_gives_what_the_network_gives(here, tmp_path, weights, arch, form):
    printed = here('export', '--weights', weights(arch), '--format', form)
    path = tmp_path / f'student{SUFFIXES[form]}'
    for shape in ((1, 3, 100, 150), (1, 3, 150, 100), (2, 3, 50, 33), (1, 3, 5, 3)):
        assert f'input {shape}: largest difference ' in printed
    assert f'{path.name}: {arch} ×2, ' in printed
    assert "weights from 'student.pth'" in printed
    function, texts = opened(path)
    network = json.loads(texts['network'])
    assert {k: network[k] for k in tiny(arch, 2)} == tiny(arch, 2)
    assert texts['scale'] == '2'
    assert (texts['color_order'], texts['value_range']) == ('RGB', '[0, 1]')
    assert texts['precision'] == 'fp32'
    assert texts['mtkd_basicsr'] == __version__
    assert texts['format'] == ('pt' if form == 'safetensors' else form)
    net = student(arch)
    for size in SIZES:
        lq = photograph(*size)
        wanted = expected(net, lq)
        with torch.no_grad():
            given = function(lq)
        assert given.shape == (size[0], 3, 2 * size[1], 2 * size[2]), size
        assert (given - wanted).abs().max() < 5e-6, size
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(['student.pth', path.name]), (
        'nothing temporary is left'
    )


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
def test_half_the_size_and_nearly_the_same_network(here, tmp_path, weights, arch):
    here(
        'export',
        '--weights',
        weights(arch),
        '--format',
        'safetensors',
        '--out',
        'whole.safetensors',
    )
    printed = here('export', '--weights', weights(arch), '--format', 'safetensors', '--half')
    whole = load_file(tmp_path / 'whole.safetensors')
    half = load_file(tmp_path / 'student.safetensors')
    assert whole.keys() == half.keys()
    for key, value in whole.items():
        if half[key].dtype != torch.float16:  # masks and indices of SwinIR, small whole numbers
            assert half[key].element_size() == 1
            assert torch.equal(half[key].to(value.dtype), value)
    stated = (
        float(re.search(r'change a photograph by at most ([\d.]+) of 255 levels', printed)[1]) / 255
    )
    lq = inputs(2)[0]
    with torch.no_grad():
        difference = (
            (
                opened(tmp_path / 'student.safetensors')[0](lq)
                - opened(tmp_path / 'whole.safetensors')[0](lq)
            )
            .abs()
            .max()
            .item()
        )
    assert 0 < difference < 0.02
    assert difference == pytest.approx(stated, abs=1e-4)
    net = build(tiny(arch, 2))
    load_weights(net, str(tmp_path / 'student.safetensors'), 'x')
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_weights_that_do_not_fit_into_16_bits(here, tmp_path, weights):
    state = student('EDSR').state_dict()
    state['conv_first.weight'] *= 1e6
    assert '--half: the weights are too large' in here(
        'export',
        '--weights',
        weights('EDSR', params_ema=state),
        '--format',
        'safetensors',
        '--half',
        expect=1,
    )
    assert [p.name for p in tmp_path.iterdir()] == ['student.pth']
    assert '--half: --format torchscript; expected onnx, safetensors or pth' in here(
        'export', '--weights', weights('EDSR'), '--format', 'torchscript', '--half', expect=1
    )


def test_the_output_is_cut_to_the_range_of_an_image(here, tmp_path, weights):
    state = student('EDSR').state_dict()
    state['conv_last.bias'] += torch.tensor([300.0, 0.0, -300.0])  # EDSR works in [0, 255]
    here('export', '--weights', weights('EDSR', params_ema=state), '--format', 'torchscript')
    given = opened(tmp_path / 'student.pt')[0](photograph(1, 9, 9))
    assert (given[:, 0] == 1).all()
    assert (given[:, 2] == 0).all()
    assert 0 < given[:, 1].mean() < 1


@pytest.mark.parametrize(
    'device',
    [
        'meta',
        pytest.param('cuda', marks=pytest.mark.gpu),
    ],
)
def test_a_graph_that_was_recorded_on_the_cpu_runs_elsewhere(device):
    graph = TraceableStudent(student('SwinIR'), 2)
    lq = photograph(1, 20, 30)
    # A recorded graph has no way to the meta device, so there it is what is recorded that runs.
    moved = (torch.jit.trace(graph, lq, check_trace=False) if device == 'cuda' else graph).to(
        device
    )
    given = moved(lq.to(device))
    assert given.device.type == device
    assert given.shape == (1, 3, 40, 60)
    assert device == 'meta' or (given.cpu() - graph.cpu()(lq)).abs().max() < 1e-2, (
        'convolutions on a GPU may use TF32'
    )


def without_masks(self, x, h, w):
    return torch.zeros(h * w // self.size**2, self.size**2, self.size**2)


class Frozen(torch.nn.Module):
    """What everybody writes first: the network with its padding, as Python computes it for the one
    size that is recorded.
    """

    def __init__(self, net, scale):
        super().__init__()
        self.net = net
        self.scale = scale

    def forward(self, x):
        return run_padded(self.net, x, 8, self.scale).clamp(0, 1)


@pytest.mark.parametrize('wrong', ['masks', 'sizes'])
def test_a_graph_that_is_wrong_is_not_kept(here, tmp_path, monkeypatch, weights, wrong):
    if wrong == 'masks':
        monkeypatch.setattr(TraceableSwinBlock, 'attention_mask', without_masks)
    else:
        monkeypatch.setattr(formats, 'TraceableStudent', Frozen)
    printed = here('export', '--weights', weights('SwinIR'), '--format', 'torchscript', expect=1)
    assert "'student.pt': differs from PyTorch by " in printed
    assert ' for input (1, 3, 100, 150); expected at most' in printed
    assert [p.name for p in tmp_path.iterdir()] == ['student.pth']


@pytest.mark.parametrize('form', SUFFIXES)
def test_above_the_tolerance_the_old_file_stays(here, tmp_path, monkeypatch, weights, form):
    there = tmp_path / f'student{SUFFIXES[form]}'
    there.write_bytes(b'precious')
    monkeypatch.setattr(export, 'TOLERANCE', -1.0)
    printed = here(
        'export', '--weights', weights('EDSR'), '--format', form, '--overwrite', expect=1
    )
    assert f"'{there.name}': differs from PyTorch by " in printed
    assert 'for input (1, 3, 100, 150); expected at most -1e+00; the file was removed' in printed
    assert there.read_bytes() == b'precious'
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        (
            lambda lq: torch.full((1, 3, 200, 300), float('nan')),
            'differs from PyTorch by nan for input (1, 3, 100, 150)',
        ),
        (
            lambda lq: torch.zeros(1, 1, 1, 1),
            'output (1, 1, 1, 1) for input (1, 3, 100, 150); expected (1, 3, 200, 300)',
        ),
    ],
)
def test_what_is_no_number_or_of_another_size_is_refused(
    here, tmp_path, monkeypatch, weights, given, text
):
    monkeypatch.setitem(
        export.FORMATS,
        'torchscript',
        dataclasses.replace(export.FORMATS['torchscript'], open=lambda path, student: given),
    )
    assert text in here('export', '--weights', weights('EDSR'), '--format', 'torchscript', expect=1)
    assert [p.name for p in tmp_path.iterdir()] == ['student.pth']


def test_a_network_that_cannot_be_recorded_is_refused(here, tmp_path, monkeypatch, weights):
    def trace(*args, **kwargs):
        raise RuntimeError('no such operator\nand much more')

    monkeypatch.setattr(torch.jit, 'trace', trace)
    printed = here('export', '--weights', weights('EDSR'), '--format', 'torchscript', expect=1)
    assert printed == (
        f'mtkd export: --format: torch {torch.__version__} cannot export EDSR to torchscript: '
        'no such operator\n'
    )
    assert [p.name for p in tmp_path.iterdir()] == ['student.pth']


# Writes of files of more than 8 KB fail, as on a disk that is full; pipes have no limit.
ON_A_SMALL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from mtkd_basicsr.commands.cli import main
sys.exit(main(['export', '--weights', 'student.pth', '--out', 'mine.pt']))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='has no limits')
def test_a_full_disk_does_not_end_the_process(tmp_path, weights):
    weights('EDSR')
    assert (tmp_path / 'student.pth').stat().st_size > 8192
    printed = run([sys.executable, '-c', ON_A_SMALL_DISK], tmp_path, 1, fresh=True)
    assert "--out: 'mine.pt' cannot be written: File too large\n" in printed
    assert os.listdir(tmp_path) == ['student.pth']


@pytest.mark.parametrize('form', [*FORMS, 'pth'])
def test_an_error_of_the_disk_is_not_one_of_torch(here, tmp_path, monkeypatch, weights, form):
    there = tmp_path / f'mine{SUFFIXES.get(form, ".pth")}'
    there.write_bytes(b'precious')

    def full(path, content):
        with open(path, 'wb') as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'write_bytes', full)
    arguments = ['export', '--weights', weights('EDSR'), '--out', there.name, '--overwrite']
    printed = here(*arguments, expect=1)
    text = f"mtkd export: --out: '{there.name}' cannot be written: No space left on device\n"
    assert text in printed
    assert 'cannot export' not in printed
    assert there.read_bytes() == b'precious'
    assert sorted(os.listdir(tmp_path)) == sorted([there.name, 'student.pth'])


def test_a_file_that_gets_no_name_is_named(here, tmp_path, weights):
    (tmp_path / 'mine.pt').mkdir()
    arguments = ['export', '--weights', weights('EDSR'), '--out', 'mine.pt']
    assert "--out: 'mine.pt' already exists" in here(*arguments, expect=1)
    printed = here(*arguments, '--overwrite', expect=1)
    assert "mtkd export: --out: 'mine.pt' cannot be written: Is a directory\n" in printed
    assert sorted(os.listdir(tmp_path)) == ['mine.pt', 'student.pth']


def test_a_file_that_cannot_be_opened_is_not_kept(here, tmp_path, monkeypatch, weights):
    def broken(path, student):
        raise RuntimeError('no such version\nand much more')

    changed = dataclasses.replace(export.FORMATS['torchscript'], open=broken)
    monkeypatch.setitem(export.FORMATS, 'torchscript', changed)
    printed = here('export', '--weights', weights('EDSR'), '--format', 'torchscript', expect=1)
    assert printed == (
        "mtkd export: --format: 'student.pt': the torchscript file of EDSR cannot be opened and "
        'was removed: no such version\n'
    )
    assert os.listdir(tmp_path) == ['student.pth']


@pytest.mark.parametrize('given', ['.', '..', '/', '', 'folder'])
def test_a_folder_is_no_weight_file(here, tmp_path, given):
    (tmp_path / 'folder').mkdir()
    for more in (['--format', 'torchscript'], ['--out', 'mine.pt']):
        printed = here('export', '--weights', given, *more, expect=1)
        assert printed == f"mtkd export: --weights: no file '{given}'\n"


def test_a_link_that_leads_nowhere_is_a_file(here, tmp_path, weights):
    link = tmp_path / 'mine.pt'
    link.symlink_to('disk_that_is_not_mounted.pt')
    arguments = ['export', '--weights', weights('EDSR'), '--out', 'mine.pt']
    assert "--out: 'mine.pt' already exists" in here(*arguments, expect=1)
    assert link.is_symlink()


def test_upscale_takes_the_safetensors_file_alone(here, tmp_path, weights):
    cv2.imwrite(str(tmp_path / 'cup.png'), load('coffee')[100:137, 120:150, ::-1])
    here('upscale', 'cup.png', '--weights', weights('SwinIR'), '--out', 'a')
    here(
        'export',
        '--weights',
        'student.pth',
        '--format',
        'safetensors',
        '--out',
        'models/mine.safetensors',
    )
    (tmp_path / 'student.pth').unlink()
    here('upscale', 'cup.png', '--weights', 'models/mine.safetensors', '--out', 'b')
    pictures = [cv2.imread(str(tmp_path / folder / 'cup_x2.png')) for folder in 'ab']
    assert pictures[0].shape == (74, 60, 3)
    assert np.array_equal(*pictures)


def test_the_weights_of_an_option_file_are_exported(here, tmp_path):
    weights = write_weights(tmp_path / 'plain.pth', tiny('EDSR', 2), 3)
    options = {'scale': 2, 'network_g': tiny('EDSR', 2), 'path': {'pretrain_network_g': weights}}
    here('export', '-opt', write_options(tmp_path / 'test.yml', options), '--format', 'safetensors')
    lq = photograph(1, 20, 30)
    assert torch.equal(
        opened(tmp_path / 'plain.safetensors')[0](lq),
        expected(build(tiny('EDSR', 2), 3).eval(), lq),
    )
    options['path'] = None
    nothing = write_options(tmp_path / 'none.yml', options)
    assert "-opt: 'none.yml' has no path.pretrain_network_g; pass" in here(
        'export', '-opt', 'none.yml', '--format', 'onnx', expect=1
    )
    here('export', '-opt', nothing, '--weights', 'plain.pth', '--format', 'torchscript')
    assert 'does not say which network it belongs to' in here(
        'export', '--weights', 'plain.pth', '--format', 'onnx', expect=1
    )


def test_a_network_with_a_class_as_argument_is_exported_where_no_record_is_needed(here, tmp_path):
    write_weights(tmp_path / 'net.pth', tiny('SwinIR', 2), 3)
    arguments = yaml.safe_dump({'scale': 2, 'network_g': tiny('SwinIR', 2)}, sort_keys=False)
    layer = '  norm_layer: !!python/name:torch.nn.modules.normalization.LayerNorm\n'
    (tmp_path / 'test.yml').write_text(arguments + layer)
    given = ('export', '-opt', 'test.yml', '--weights', 'net.pth', '--out')
    printed = here(*given, 'mine.safetensors', expect=1)
    assert 'mtkd export: network_g.norm_layer: a class or function, which a saf' in printed
    assert not (tmp_path / 'mine.safetensors').exists()
    printed = here(*given, 'mine.pth')
    assert 'network_g.norm_layer: a class or function; the file has no record' in printed
    content = torch.load(tmp_path / 'mine.pth', weights_only=True)
    assert 'mtkd' not in content
    net = build(tiny('SwinIR', 2), 4).eval()
    load_weights(net, str(tmp_path / 'mine.pth'), '--weights')
    lq = photograph(1, 24, 32)
    expected_image = expected(build(tiny('SwinIR', 2), 3).eval(), lq)
    assert (net(lq).clamp(0, 1) - expected_image).abs().max() < 1e-4
    here(*given, 'mine.pt')


def test_the_colour_mean_of_released_weights_goes_with_them(here, tmp_path):
    """It is no part of the state dict: without it the file would enlarge with another one."""
    case = next(
        c
        for c in torch.load(ROOT / 'tests' / 'golden' / 'formats.pth', weights_only=True)
        if c['file'] == 'edsr_pytorch_x3.pt'
    )
    state = torch.load(ROOT / 'tests' / 'golden' / case['file'], weights_only=True)
    for name, sign in (('sub_mean.bias', -1), ('add_mean.bias', 1)):
        state[name] = sign * 255 * torch.tensor([0.4690, 0.4490, 0.4036])
    torch.save(state, tmp_path / 'df2k.pt')
    options = write_options(tmp_path / 'test.yml', {'scale': 3, 'network_g': case['network']})
    here('export', '-opt', options, '--weights', 'df2k.pt', '--format', 'safetensors')
    with safe_open(tmp_path / 'df2k.safetensors', framework='pt') as file:
        assert json.loads(file.metadata()['network'])['rgb_mean'] == pytest.approx(
            [0.4690, 0.4490, 0.4036]
        )


def test_nothing_is_overwritten(here, tmp_path, weights):
    there = tmp_path / 'student.pt'
    there.write_bytes(b'precious')
    command = ['export', '--weights', weights('EDSR'), '--format', 'torchscript']
    assert "--out: 'student.pt' already exists; use another name, or --overwrite" in here(
        *command, expect=1
    )
    assert there.read_bytes() == b'precious'
    here(*command, '--overwrite')
    assert opened(there)[1]['scale'] == '2'
    (tmp_path / 'student.pth').rename(there)
    command[2] = 'student.pt'
    assert "--out: 'student.pt' is the weight file itself" in here(
        *command, '--overwrite', expect=1
    )
    assert 'params_ema' in torch.load(there, weights_only=True)


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime', 'onnxscript'])
def test_missing_packages_come_first(here, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    printed = here('export', '--weights', 'gone.pth', '--format', 'onnx', expect=1)
    assert (
        printed
        == f"mtkd export: --format: onnx needs {package}: pip install 'mtkd_basicsr[export]'\n"
    )
    assert "--weights: no file 'gone.pth'" in here(
        'export', '--weights', 'gone.pth', '--format', 'torchscript', expect=1
    )


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (
            [],
            '--weights: missing; expected a checkpoint, or an option file with '
            'path.pretrain_network_g',
        ),
        (['--weights', 'gone.pth'], "--weights: no file 'gone.pth'"),
        (['-opt', 'gone.yml'], "-opt: no file 'gone.yml'"),
        (
            ['--weights', 'student.pth', '--out', 'student.bin'],
            "--out: 'student.bin'; expected a name that ends with .onnx",
        ),
        (
            ['--weights', 'student.pth', '-opt', 'x3.yml'],
            'network_g: output (1, 3, 4, 4) for input (1, 3, 2, 2); scale is 3, expected (1, 3, 6, '
            '6)',
        ),
        (['-opt', 'fusion.yml'], 'network_g: DCTSwin fails for input (1, 3, 16, 16): '),
        (['-opt', 'lost.yml'], "path.pretrain_network_g: no file 'lost.pth'"),
    ],
)
def test_wrong_arguments_are_refused(here, tmp_path, weights, arguments, text):
    weights('EDSR')
    write_options(tmp_path / 'x3.yml', {'scale': 3, 'network_g': tiny('EDSR', 2)})
    write_options(
        tmp_path / 'fusion.yml',
        {
            'scale': 2,
            'network_g': tiny('DCTSwin', 2),
            'path': {
                'pretrain_network_g': write_weights(tmp_path / 'fusion.pth', tiny('DCTSwin', 2))
            },
        },
    )
    write_options(
        tmp_path / 'lost.yml',
        {'scale': 2, 'network_g': tiny('EDSR', 2), 'path': {'pretrain_network_g': 'lost.pth'}},
    )
    before = sorted(tmp_path.iterdir())
    assert text in here('export', *arguments, '--format', 'onnx', expect=1)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize('name', ['torchscript', 'safetensors'])
def test_the_ending_decides_the_format(here, tmp_path, weights, name):
    weights('EDSR')
    out = tmp_path / f'mine{SUFFIXES[name]}'
    here('export', '--weights', 'student.pth', '--out', out)
    if name == 'safetensors':
        assert 'conv_first.weight' in load_file(out)
    else:
        assert torch.jit.load(out)(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)
    text = (
        'expected onnx, torchscript, safetensors, pth, or --out with one of the endings .onnx, '
        '.pt, .safetensors, .pth'
    )
    for wrong in ([], ['--out', tmp_path / 'mine.bin'], ['--out', tmp_path / 'mine']):
        assert text in here('export', '--weights', 'student.pth', *wrong, expect=1)
    other = 'onnx' if name == 'torchscript' else 'torchscript'
    printed = here('export', '--weights', 'student.pth', '--out', out, '--format', other, expect=1)
    assert f'expected a name that ends with {SUFFIXES[other]}' in printed


@pytest.mark.parametrize(
    ('network', 'known'),
    [
        (tiny('SwinIR', 2), True),
        ({'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 3, 'upscale': 2}, True),
        (tiny('EDSR', 2), False),
        (tiny('RCAN', 2), False),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_spandrel_reads_what_the_documentation_says(here, tmp_path, network, known):
    spandrel = pytest.importorskip('spandrel')
    net = build_network(network, 'network').eval()
    mtkd = {'network': network, 'scale': 2, 'version': __version__}
    torch.save({'params': net.state_dict(), 'mtkd': mtkd}, tmp_path / 'student.pth')
    here('export', '--weights', 'student.pth', '--out', tmp_path / 'a.safetensors')
    if not known:
        with pytest.raises(spandrel.UnsupportedModelError):
            spandrel.ModelLoader().load_from_file(tmp_path / 'a.safetensors')
        return
    loaded = spandrel.ModelLoader().load_from_file(tmp_path / 'a.safetensors').eval()
    lq = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert (loaded(lq) - net(lq).clamp(0, 1)).abs().max() < 1e-5
