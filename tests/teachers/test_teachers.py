import pytest
import torch
from conftest import build, teachers_block, tiny, write_weights

from mtkd_basicsr.config import TeacherOptions, parse_fusion, parse_teachers
from mtkd_basicsr.errors import OptionError, WeightsError
from mtkd_basicsr.functional.padding import pad_to_multiple
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import size_multiple


def ensemble(folder, scale=2, archs=('SwinIR', 'EDSR', 'RCAN')):
    return TeacherEnsemble(
        parse_teachers({'teachers': teachers_block(folder, scale, archs)}), scale
    )


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_outputs_are_those_of_each_network_in_order(tmp_path, scale):
    teachers = ensemble(tmp_path, scale)
    lq = torch.rand(2, 3, 11, 13)
    out = teachers(lq)
    assert out.shape == (2, 9, 11 * scale, 13 * scale)
    assert out.min() >= 0
    assert out.max() <= 1
    for i, (seed, arch) in enumerate(enumerate(('SwinIR', 'EDSR', 'RCAN'))):
        net = build(tiny(arch, scale), seed).eval()
        padded = pad_to_multiple(lq, 8 if arch == 'SwinIR' else 1)
        with torch.no_grad():
            alone = net(padded)[..., : 11 * scale, : 13 * scale].clamp(0, 1)
        assert torch.equal(out[:, 3 * i : 3 * i + 3], alone)


def test_teachers_stay_frozen_whatever_is_called(tmp_path):
    teachers = ensemble(tmp_path)
    teachers.train()
    assert not any(m.training for m in teachers.modules())
    assert not any(p.requires_grad for p in teachers.parameters())
    lq = torch.rand(1, 3, 16, 16, requires_grad=True)
    assert not teachers(lq).requires_grad
    assert torch.equal(teachers(lq), teachers(lq)), 'drop path of SwinIR is not switched off'


def test_batch_of_two_is_two_batches_of_one(tmp_path):
    teachers = ensemble(tmp_path)
    lq = torch.rand(2, 3, 16, 16)
    assert (teachers(lq) - torch.cat([teachers(lq[:1]), teachers(lq[1:])])).abs().max() < 1e-5


def test_images_smaller_than_a_window_are_padded(tmp_path):
    assert ensemble(tmp_path)(torch.rand(1, 3, 3, 2)).shape == (1, 9, 6, 4)


def test_reorder_changes_the_order_of_the_outputs(tmp_path):
    teachers = ensemble(tmp_path)
    lq = torch.rand(1, 3, 16, 16)
    before = teachers(lq)
    teachers.reorder(['rcan', 'swinir', 'edsr'])
    assert teachers.names == ['rcan', 'swinir', 'edsr']
    assert torch.equal(teachers(lq), torch.cat([before[:, 6:], before[:, :6]], 1))


def test_describe_has_one_line_for_each(tmp_path):
    lines = ensemble(tmp_path).describe()
    assert len(lines) == 3
    assert lines[1].startswith('Teacher edsr: EDSR, ')


def test_size_multiples_of_archs():
    assert size_multiple(build(tiny('SwinIR', 2))) == 8
    assert size_multiple(build(tiny('EDSR', 2))) == 1
    rrdb = {
        'type': 'RRDBNet',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_feat': 8,
        'num_block': 1,
        'num_grow_ch': 4,
    }
    assert [size_multiple(build({**rrdb, 'scale': s})) for s in (1, 2, 4)] == [4, 2, 1]


def test_weights_are_read_wherever_they_are_in_the_file(tmp_path):
    network = tiny('EDSR', 2)
    expected = build(network, 1).state_dict()
    other = build(network, 2).state_dict()
    files = {
        'params_ema': {'params_ema': expected, 'params': other},
        'params': {'params': expected, 'iter': 3},
        'bare': expected,
        'ddp': {'params': {f'module.{k}': v for k, v in expected.items()}},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / f'{name}.pth')
        net = build(network, 3)
        load_weights(net, str(tmp_path / f'{name}.pth'), 'key')
        assert all(torch.equal(v, expected[k]) for k, v in net.state_dict().items()), name
    net = build(network, 3)
    load_weights(net, str(tmp_path / 'params_ema.pth'), 'key', param_key='params')
    assert torch.equal(net.state_dict()['conv_first.weight'], other['conv_first.weight'])


def test_mask_buffers_of_another_image_size_do_not_matter(tmp_path):
    path = write_weights(tmp_path / 'swinir.pth', tiny('SwinIR', 2, img_size=32))
    net = build(tiny('SwinIR', 2), 5).eval()
    lq = torch.rand(1, 3, 16, 16)
    load_weights(net, path, 'key')
    with torch.no_grad():
        assert (net(lq) - build(tiny('SwinIR', 2, img_size=32)).eval()(lq)).abs().max() < 1e-6


class Evil:
    def __reduce__(self):
        return (open, ('/tmp/mtkd_evil', 'w'))


def test_wrong_files_are_refused(tmp_path):
    network = tiny('EDSR', 2)
    net = build(network)
    torch.save({'params': Evil()}, tmp_path / 'evil.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save({'params': 3}, tmp_path / 'number.pth')
    (tmp_path / 'text.pth').write_text('no weights')
    write_weights(tmp_path / 'wide.pth', tiny('EDSR', 2, num_feat=16))
    write_weights(tmp_path / 'deep.pth', tiny('EDSR', 2, num_block=2))
    write_weights(tmp_path / 'other.pth', tiny('RCAN', 2))
    for name, text in (
        ('none', "teachers.a.weights: no file '.*none.pth'"),
        ('evil', 'cannot be read as weights'),
        ('list', 'holds list; expected a state dict'),
        ('number', 'holds no state dict'),
        ('text', 'cannot be read as weights'),
        ('wide', r'conv_first.weight: \(16, 3, 3, 3\) in the file, \(8, 3, 3, 3\) in the network'),
        ('deep', 'body.1.conv1.weight: only in the file'),
        ('other', 'does not fit EDSR: .*only in the network.* and [0-9]+ more'),
    ):
        with pytest.raises(WeightsError, match=text):
            load_weights(net, str(tmp_path / f'{name}.pth'), 'teachers.a.weights')
    with pytest.raises(WeightsError, match="has no 'params_ema'; it has params"):
        load_weights(net, str(tmp_path / 'wide.pth'), 'key', param_key='params_ema')
    load_weights(net, str(tmp_path / 'deep.pth'), 'key', strict=False)


def test_scale_is_checked_at_the_start(tmp_path):
    block = teachers_block(tmp_path, 4, ('EDSR',))
    with pytest.raises(
        OptionError,
        match=r'teachers.edsr: output \(1, 3, 64, 64\) .* scale is 2, expected \(1, 3, 32, 32\)',
    ):
        TeacherEnsemble(parse_teachers({'teachers': block}), 2)


@pytest.mark.parametrize(
    ('network', 'text'),
    [
        ({'type': 'edsr'}, r"teachers.a.network.type: unknown arch 'edsr'.*did you mean 'EDSR'"),
        (
            {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feats': 8},
            'teachers.a.network: EDSR cannot be built.*num_feats',
        ),
    ],
)
def test_networks_that_cannot_be_built_are_refused(network, text):
    with pytest.raises(OptionError, match=text):
        TeacherEnsemble({'a': TeacherOptions('x.pth', network)}, 2)


def fused(folder, order, trained, scale=2):
    block = teachers_block(folder, scale)
    path = write_weights(
        folder / 'fusion.pth',
        tiny('DCTSwin', scale),
        7,
        **({'mtkd': {'teachers': trained}} if trained else {}),
    )
    opt = {
        'teachers': {name: block[name] for name in order},
        'fusion': {'network': tiny('DCTSwin', scale), 'weights': path},
    }
    return FusedTeachers(TeacherEnsemble(parse_teachers(opt), scale), parse_fusion(opt))


def test_order_in_the_option_file_does_not_matter(tmp_path):
    trained = ['swinir', 'edsr', 'rcan']
    lq = torch.rand(1, 3, 16, 16)
    first = fused(tmp_path, trained, trained)
    second = fused(tmp_path, ['rcan', 'swinir', 'edsr'], trained)
    assert second.ensemble.names == trained
    assert torch.equal(first(lq), second(lq))
    permuted = fused(tmp_path, ['rcan', 'swinir', 'edsr'], None)
    assert (first(lq) - permuted(lq)).abs().max() > 1e-3, 'the test would not see a permutation'
    assert any('does not name its teachers' in line for line in permuted.describe())


def test_fused_is_fusion_of_teachers(tmp_path):
    target = fused(tmp_path, ['swinir', 'edsr', 'rcan'], ['swinir', 'edsr', 'rcan'])
    lq = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = build(tiny('DCTSwin', 2), 7).eval()(ensemble(tmp_path)(lq)).clamp(0, 1)
    assert torch.equal(target(lq), expected)
    assert not target(lq.requires_grad_()).requires_grad
    assert not any(p.requires_grad for p in target.train().parameters())
    assert not target.fusion.training


@pytest.mark.parametrize(
    ('trained', 'text'),
    [
        (['swinir', 'edsr', 'hat'], 'missing: hat; unknown to it: rcan'),
        (['swinir', 'edsr', 'rcan', 'hat'], 'missing: hat$'),
        (['swinir', 'edsr'], 'unknown to it: rcan'),
    ],
)
def test_other_teachers_are_refused(tmp_path, trained, text):
    with pytest.raises(OptionError, match=text):
        fused(tmp_path, ['swinir', 'edsr', 'rcan'], trained)


def test_number_of_channels_is_checked(tmp_path):
    block = teachers_block(tmp_path, 2, ('EDSR', 'RCAN'))
    opt = {
        'teachers': block,
        'fusion': {
            'network': tiny('DCTSwin', 2),
            'weights': write_weights(tmp_path / 'f.pth', tiny('DCTSwin', 2)),
        },
    }
    with pytest.raises(
        OptionError,
        match='fusion.network.in_chans: 9; expected 6, 3 for each of the 2 teachers edsr, rcan',
    ):
        FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))


def test_a_device_that_is_full_is_not_called_a_wrong_network(tmp_path, monkeypatch):
    def forward(self, x):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 MiB')

    monkeypatch.setattr(type(build(tiny('EDSR', 2))), 'forward', forward)
    with pytest.raises(OptionError, match='teachers.edsr: not enough memory on cpu for the netw'):
        ensemble(tmp_path, archs=('EDSR',))
