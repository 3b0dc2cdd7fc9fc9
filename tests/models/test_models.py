import logging

import pytest
import torch
from conftest import build, changed, parsed, snapshot, tiny, write_options, write_weights
from helpers.distillation import kd_options
from helpers.found import found_in_training
from helpers.trainings import batch_of, model_of

from mtkd_basicsr.errors import OptionError, WeightsError
from mtkd_basicsr.utils.precision import supports_native_bf16
from mtkd_basicsr.weights.loading import load_weights


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
@pytest.mark.parametrize('scale', [2, 3, 4])
def test_a_step_of_stage_2_changes_all_of_the_student_and_nothing_else(
    make_options, tmp_path, arch, scale
):
    opt = make_options(
        'MTKDModel',
        scale,
        network_g=tiny(arch, scale, **({'drop_path_rate': 0.0} if arch == 'SwinIR' else {})),
    )
    model = model_of(opt, tmp_path)
    target = model.distiller.teachers.fused_teachers
    student = snapshot(model.net_g)
    teachers = snapshot(target)
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(1)
    trainable = {name for name, p in model.net_g.named_parameters()}
    assert changed(student, model.net_g) == trainable
    assert len(target.ensemble.networks) == 3
    assert changed(teachers, target) == set()
    assert not any(p.grad is not None for p in target.parameters())
    assert set(model.get_current_log()) == {'l_pix', 'l_distill'}


def test_losses_of_stage_2_by_hand(make_options, tmp_path):
    opt = make_options('MTKDModel', train__pixel_opt={'type': 'L1Loss', 'loss_weight': 0.25})
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    with torch.no_grad():
        output = model.net_g(batch['lq'])
        target = model.distiller.teachers.target(batch['lq'])
        low = (output - target).unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2)) / 2
    model.feed_data(batch)
    model.optimize_parameters(1)
    log = model.get_current_log()
    assert log['l_pix'] == pytest.approx(
        0.25 * (output - batch['gt']).abs().mean().item(), rel=1e-5
    )
    assert low.abs().mean().item() < log['l_distill'] < 4 * low.abs().mean().item()


def test_a_step_of_stage_1_changes_all_of_the_fusion_net_and_no_teacher(make_options, tmp_path):
    opt = make_options('MTKDFusionModel')
    model = model_of(opt, tmp_path)
    # The last convolution starts at zero, so that what is before it gets its first gradient in the
    # second step.
    torch.nn.init.normal_(model.net_g.conv_last.weight, std=0.1)
    fusion = snapshot(model.net_g)
    teachers = snapshot(model.ensemble)
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(1)
    assert changed(fusion, model.net_g) == {name for name, _ in model.net_g.named_parameters()}
    assert changed(teachers, model.ensemble) == set()


def test_untrained_fusion_validates_as_the_mean_of_the_teachers(make_options, tmp_path):
    model = model_of(
        make_options('MTKDFusionModel', network_g=tiny('DCTSwin', 2, skip='mean')), tmp_path
    )
    model.lq = torch.rand(1, 3, 13, 17)
    model.test()
    expected = model.ensemble(model.lq).unflatten(1, (3, 3)).mean(1)
    assert (model.output - expected).abs().max() < 1e-6


def test_amp_runs_the_student_in_bfloat16_and_nothing_else(make_options, tmp_path):
    opt = make_options('MTKDModel', train__amp='bf16')
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    seen = []
    model.net_g.conv_first.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    model.distiller.distill_loss.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0].dtype)
    )
    before = snapshot(model.net_g)
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert seen == [torch.bfloat16, torch.float32]
    assert len(changed(before, model.net_g)) == len(before)
    assert all(p.dtype == torch.float32 for p in model.net_g.parameters())
    model.lq = batch['lq']
    model.test()
    assert model.output.dtype == torch.float32


@pytest.mark.parametrize('method', ['stage_1', 'LogitKD', 'AT', 'FAKD', 'CrossKD', 'DUKD', 'MTKD'])
def test_teachers_run_in_the_precision_that_is_asked_for(
    make_options, photographs, tmp_path, method
):
    targets = {}
    given = None
    for precision in (None, 'fp32', 'bf16', 'auto'):
        change = {'train__teacher_precision': precision}
        if method == 'stage_1':
            opt = make_options('MTKDFusionModel', **change)
        else:
            opt = kd_options(photographs, tmp_path, method, teachers=('EDSR', 'SwinIR'), **change)
            opt['train']['kd']['teacher'] = 'edsr'
        model = model_of(opt, tmp_path)
        given = given or batch_of(opt, tmp_path)
        ensemble = (
            model.ensemble if method == 'stage_1' else model.distiller.teachers.ensembles['edsr']
        )
        target = model.ensemble if method == 'stage_1' else model.distiller.teachers.target
        edsr = ensemble.networks[ensemble.names.index('edsr')]
        seen = []
        edsr.conv_first.register_forward_hook(
            lambda module, inputs, output: seen.append(output.dtype)  # noqa: B023
        )
        model.feed_data(given)
        model.optimize_parameters(1)
        bf16 = precision == 'bf16' or (precision == 'auto' and supports_native_bf16('cpu'))
        assert set(seen) == {torch.bfloat16 if bf16 else torch.float32}
        assert edsr.conv_first.weight.dtype == torch.float32
        assert edsr.body[0].conv1.weight.is_contiguous(memory_format=torch.channels_last) == bf16
        targets[precision] = target(given['lq'])
        assert targets[precision].dtype == torch.float32
        assert all(p.isfinite().all() for p in model.net_g.parameters())
    assert torch.equal(targets['auto'], targets['bf16' if supports_native_bf16('cpu') else 'fp32'])
    assert torch.equal(targets[None], targets['fp32'])
    assert 0 < (targets['bf16'] - targets['fp32']).abs().mean() < 2 / 255


def weights_after_a_step(opt, batch, tmp_path):
    torch.manual_seed(0)
    model = model_of(opt, tmp_path)
    model.feed_data(batch)
    model.optimize_parameters(1)
    return snapshot(model.net_g)


def test_with_the_options_off_nothing_changes_by_a_bit(make_options, tmp_path):
    batch = batch_of(make_options('MTKDModel'), tmp_path)
    plain = weights_after_a_step(make_options('MTKDModel'), batch, tmp_path)
    opt = make_options(
        'MTKDModel', train__amp=None, train__channels_last=False, train__compile=False
    )
    off = weights_after_a_step(opt, batch, tmp_path)
    assert all(torch.equal(plain[k], off[k]) for k in plain)


def test_all_networks_are_in_channels_last_before_they_are_wrapped(
    make_options, tmp_path, monkeypatch
):
    """DistributedDataParallel lays out its buckets by the strides that it finds."""
    from mtkd_basicsr.models import base

    found = []

    def wrap(net, **_):
        found.append(all_in_channels_last(net))
        return torch.nn.Sequential(net)

    def all_in_channels_last(net):
        weights = [p for p in net.parameters() if p.dim() == 4 and p.shape[1] > 1]
        assert weights
        return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)

    opt = make_options('MTKDModel', train__channels_last=True)
    model = model_of(opt, tmp_path)
    assert all_in_channels_last(model.net_g)
    # An average in another format would be mixed with it in strides.
    assert all_in_channels_last(model.net_g_ema)
    monkeypatch.setattr(base, 'DistributedDataParallel', wrap)
    model.opt['dist'] = True
    model.model_to_device(build(opt['network_g']))
    assert found == [True]


def test_student_in_channels_last_learns_the_same(make_options, tmp_path):
    batch = batch_of(make_options('MTKDModel'), tmp_path)
    plain = weights_after_a_step(make_options('MTKDModel'), batch, tmp_path)
    opt = make_options('MTKDModel', train__channels_last=True)
    torch.manual_seed(0)
    model = model_of(opt, tmp_path)
    seen = []
    model.net_g.conv_first.register_forward_hook(
        lambda module, inputs, output: seen.extend((inputs[0], module.weight, output))
    )
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert len(seen) == 3
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)
    other = snapshot(model.net_g)
    assert plain.keys() == other.keys()
    assert all((plain[k] - other[k]).abs().max() < 1e-5 for k in plain)
    model.save(0, 1)
    load_weights(
        build(tiny('EDSR', 2)),
        str(tmp_path / 'experiments' / model.opt['name'] / 'models' / 'net_g_1.pth'),
        'x',
    )


def test_compiled_student_learns_the_same(make_options, tmp_path, monkeypatch):
    # Traced by torch.compile as in earnest, but run without generating code, which takes a minute
    # and a compiler.
    calls = []
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, 'compile', lambda f, **k: calls.append(f) or compile_(f, **k, backend='eager')
    )
    batch = batch_of(make_options('MTKDModel'), tmp_path)
    plain = weights_after_a_step(make_options('MTKDModel'), batch, tmp_path)
    assert not calls
    compiled = weights_after_a_step(make_options('MTKDModel', train__compile=True), batch, tmp_path)
    assert len(calls) == 1
    assert plain.keys() == compiled.keys(), 'compiling must not change the names in the checkpoint'
    assert all((plain[k] - compiled[k]).abs().max() < 1e-5 for k in plain)


def test_a_student_compiled_with_cuda_graphs_learns_the_same(
    make_options, tmp_path, monkeypatch, caplog
):
    events = []
    compile_ = torch.compile

    def with_mode(function, mode=None, **keywords):
        events.append(mode)
        compiled = compile_(function, **keywords, backend='eager')
        return lambda *args: events.append('forward') or compiled(*args)

    monkeypatch.setattr(torch, 'compile', with_mode)
    monkeypatch.setattr(
        torch.compiler, 'cudagraph_mark_step_begin', lambda: events.append('begin'), raising=False
    )
    batch = batch_of(make_options('MTKDModel'), tmp_path)
    results = {}
    for mode in (False, True, 'reduce-overhead'):
        events.clear()
        model = model_of(make_options('MTKDModel', train__compile=mode), tmp_path)
        for iteration in (1, 2):
            model.feed_data(batch)
            model.optimize_parameters(iteration)
        results[mode] = (snapshot(model.net_g), list(events), caplog.text)
        caplog.clear()
    assert results[False][1] == []
    assert results[True][1] == [None, 'forward', 'forward']
    # What a step returns is no longer used when the next one begins.
    assert results['reduce-overhead'][1] == ['reduce-overhead', *2 * ['begin', 'forward']]
    text = 'train.compile: reduce-overhead; CUDA graphs need a GPU'
    assert [text in printed for *_, printed in results.values()] == [False, False, True]
    for weights, *_ in results.values():
        assert all((w - results[False][0][k]).abs().max() < 1e-5 for k, w in weights.items())


def test_cuda_graphs_without_a_gpu_compile_nothing(make_options, tmp_path, caplog, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda net, **how: compiled.append(how))
    opt = make_options('MTKDModel', train__compile='cudagraphs')
    model_of(opt, tmp_path)
    assert compiled == []
    assert 'train.compile: cudagraphs; CUDA graphs need a GPU, so that this is the' in caplog.text
    assert 'same as false' in caplog.text


@pytest.mark.parametrize('mode', ['reduce-overhead', 'cudagraphs'])
def test_cuda_graphs_need_a_torch_that_validates_without_them(
    make_options, tmp_path, monkeypatch, mode
):
    monkeypatch.delattr(torch.compiler, 'set_stance', raising=False)
    model_of(make_options('MTKDModel'), tmp_path)
    with pytest.raises(OptionError, match=f'train.compile: {mode}, .* torch 2.6 or later'):
        model_of(make_options('MTKDModel', train__compile=mode), tmp_path)


def test_fitted_mix_is_at_once_as_good_as_the_best_teacher(make_options, tmp_path):
    opt = make_options('MTKDFusionModel', train__mix_batches=1, train__ema_warmup=False)
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    outputs = model.ensemble(batch['lq'])
    errors = [
        (outputs[:, 3 * i : 3 * i + 3] - batch['gt']).square().mean().item() for i in range(3)
    ]
    average = (outputs.unflatten(1, (3, 3)).mean(1) - batch['gt']).square().mean().item()
    model.feed_data(batch)
    model.ema_decay = 1.0
    model.optimize_parameters(1)
    with torch.no_grad():
        fitted = (model.net_g_ema(outputs) - batch['gt']).square().mean().item()
    assert fitted < min(*errors, average)
    before = model.net_g_ema.mix.weight.clone()
    model.feed_data(batch)
    model.optimize_parameters(2)
    assert torch.equal(model.net_g_ema.mix.weight, before), 'fitted after the first batch'


def test_a_mix_is_fitted_for_a_new_fusion_network_alone(make_options, tmp_path, here):
    """The rest of a trained one belongs to its own mix; a training that goes on has such a one."""
    opt = make_options('MTKDFusionModel', train__mix_batches=1, name='first')
    opt['network_g']['skip'] = 'adaptive'
    opt['logger']['save_checkpoint_freq'] = 1
    here('train', '-opt', write_options(tmp_path / 'first.yml', opt))
    models = tmp_path / 'experiments' / 'first' / 'models'
    for path in (models / 'net_g_2.pth', models / 'net_g_latest.pth'):
        path.unlink()
    (models.parent / 'training_states' / '2.state').unlink()
    here('train', '-opt', write_options(tmp_path / 'first.yml', opt), '--auto_resume')
    assert (models / 'net_g_2.pth').is_file()
    opt['name'] = 'second'
    opt['path']['pretrain_network_g'] = str(models / 'net_g_2.pth')
    printed = here('train', '-opt', write_options(tmp_path / 'second.yml', opt), expect=1)
    assert 'train.mix_batches: 1, but path.pretrain_network_g is ' in printed
    opt['train']['mix_batches'] = 0
    here('train', '-opt', write_options(tmp_path / 'second.yml', opt))


@pytest.mark.parametrize('name', ['MTKDFusionModel', 'MTKDModel'])
def test_tiles_give_what_the_whole_image_gives(make_options, tmp_path, name):
    changes = {'network_g': tiny('EDSR', 2)} if name == 'MTKDModel' else {}
    opt = make_options(name, **changes)
    if name == 'MTKDFusionModel':
        opt['teachers'] = {'edsr': opt['teachers']['edsr']}
        opt['network_g'].update(in_chans=3, skip='mean')
    whole = model_of(opt, tmp_path)
    opt['val'].update(tile=24, tile_overlap=16)
    tiled = model_of(opt, tmp_path)
    tiled.net_g_ema.load_state_dict(whole.net_g_ema.state_dict())
    whole.lq = tiled.lq = torch.rand(1, 3, 50, 61)
    shapes = []
    tiled.net_g_ema.register_forward_hook(
        lambda net, inputs, output: shapes.append(output.shape[-2:])
    )
    whole.test()
    tiled.test()
    assert set(shapes) == {(48, 48)}
    assert len(shapes) > 4
    assert (whole.output - tiled.output).abs().max() < 1e-5


def test_students_with_windows_are_padded(make_options, tmp_path):
    model = model_of(make_options('MTKDModel', network_g=tiny('SwinIR', 2)), tmp_path)
    model.lq = torch.rand(1, 3, 13, 5)
    model.test()
    assert model.output.shape == (1, 3, 26, 10)
    assert model.net_g.training


def test_testing_a_student_needs_no_teacher(make_options, tmp_path):
    opt = make_options('MTKDModel')
    opt['path']['pretrain_network_g'] = write_weights(tmp_path / 'student.pth', opt['network_g'], 3)
    for name in opt['teachers']:
        opt['teachers'][name]['weights'] = 'gone.pth'
    opt['fusion']['weights'] = 'gone.pth'
    model = model_of(opt, tmp_path, is_train=False)
    model.lq = torch.rand(1, 3, 12, 12)
    model.test()
    with torch.no_grad():
        assert torch.equal(model.output, build(opt['network_g'], 3).eval()(model.lq))
    assert not hasattr(model, 'distiller')


def test_checkpoint_of_stage_1_names_its_teachers(make_options, tmp_path):
    opt = make_options('MTKDFusionModel')
    model = model_of(opt, tmp_path)
    model.save(0, 5)
    path = tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_5.pth'
    content = torch.load(path, weights_only=True)
    assert content['mtkd']['teachers'] == ['swinir', 'edsr', 'rcan']
    assert content['mtkd']['scale'] == 2
    assert set(content) == {'params', 'params_ema', 'mtkd'}
    assert [p.name for p in path.parent.iterdir()] == ['net_g_5.pth']

    opt['path']['pretrain_network_g'] = str(path)
    opt['teachers'] = {name: opt['teachers'][name] for name in ('rcan', 'edsr', 'swinir')}
    again = model_of(opt, tmp_path)
    assert again.ensemble.names == ['swinir', 'edsr', 'rcan']
    opt['teachers']['hat'] = opt['teachers'].pop('rcan')
    with pytest.raises(OptionError, match='missing: rcan; unknown to it: hat'):
        model_of(opt, tmp_path)


def test_a_checkpoint_of_a_network_with_a_class_as_argument_is_read(make_options, tmp_path):
    """A class in it would not be read without executing code."""
    network = {**tiny('SwinIR', 2), 'norm_layer': torch.nn.LayerNorm}
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, network_g=network)
    model = model_of(opt, tmp_path)
    model.save(0, 2)
    content = torch.load(f'{model.opt["path"]["models"]}/net_g_2.pth', weights_only=True)
    assert 'network' not in content['mtkd']
    warnings = found_in_training(parsed(opt, True, tmp_path))[1]
    assert any(text.startswith('network_g.norm_layer: a class or function') for text in warnings)


def test_resuming_brings_back_network_average_and_optimizer(make_options, tmp_path):
    opt = make_options('MTKDModel')
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    for i in (1, 2):
        model.feed_data(batch)
        model.optimize_parameters(i)
    model.save(0, 2)
    model.feed_data(batch)
    model.optimize_parameters(3)

    folder = tmp_path / 'experiments' / opt['name']
    opt['path']['pretrain_network_g'] = str(folder / 'models' / 'net_g_2.pth')
    again = model_of(opt, tmp_path)
    again.resume_training(torch.load(folder / 'training_states' / '2.state', weights_only=True))
    again.feed_data(batch)
    again.optimize_parameters(3)
    assert changed(snapshot(model.net_g), again.net_g) == set()
    assert changed(snapshot(model.net_g_ema), again.net_g_ema) == set()


def test_teachers_are_one_line_each_in_the_log(make_options, tmp_path, caplog):
    logger = logging.getLogger('basicsr')
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    model_of(make_options('MTKDModel'), tmp_path)
    logger.removeHandler(caplog.handler)
    lines = [r.getMessage() for r in caplog.records]
    assert [
        sum(line.startswith(f'Teacher {n}:') for line in lines) for n in ('swinir', 'edsr', 'rcan')
    ] == [1, 1, 1]
    assert any(
        line.startswith('Fusion: DCTSwin, ') and 'over swinir, edsr, rcan' in line for line in lines
    )
    assert not any('WindowAttention' in line for line in lines)


@pytest.mark.parametrize(
    ('model', 'change', 'error', 'text'),
    [
        ('MTKDModel', {'fusion': None}, OptionError, 'fusion: missing'),
        ('MTKDModel', {'teachers': None}, OptionError, 'teachers: None'),
        (
            'MTKDModel',
            {'train__kd': {'type': 'MTDK'}},
            OptionError,
            r"train.kd.type: unknown method 'MTDK'.*did you mean 'MTKD'",
        ),
        (
            'MTKDModel',
            {'train__kd': {'type': 'MTKD', 'levl': 1}},
            OptionError,
            "train.kd: unknown key 'levl'",
        ),
        ('KDModel', {}, OptionError, 'train.kd.type: missing; name a method'),
        ('MTKDModel', {'train__distill_opt': None}, OptionError, 'train.distill_opt: missing'),
        (
            'MTKDModel',
            {'train__distill_opt': {'type': 'WaveletLos'}},
            OptionError,
            "train.distill_opt.type: unknown loss 'WaveletLos'.*did you mean 'WaveletLoss'",
        ),
        (
            'MTKDModel',
            {'train__distill_opt': {'type': 'WaveletLoss', 'levels': 1}},
            OptionError,
            'train.distill_opt: WaveletLoss cannot be built.*levels',
        ),
        (
            'MTKDModel',
            {'train__distill_opt': {'type': 'WaveletLoss', 'level': 0}},
            OptionError,
            'train.distill_opt: .*level: 0; expected',
        ),
        (
            'MTKDModel',
            {'train__perceptual_opt': {'type': 'PerceptualLoss'}},
            OptionError,
            'train.perceptual_opt',
        ),
        (
            'MTKDModel',
            {'train__amp': 'fp16'},
            OptionError,
            r"train.amp: 'fp16'; known: auto, bf16, fp32 \(did you mean 'bf16'\?\); nothing \(~\) "
            r'is fp32',
        ),
        (
            'MTKDModel',
            {'train__amp': 'atuo'},
            OptionError,
            r"train.amp: 'atuo'; known: .*did you mean 'auto'",
        ),
        (
            'MTKDModel',
            {'train__amp': True},
            OptionError,
            'train.amp: True; expected one of auto, bf16, fp32, or nothing',
        ),
        (
            'MTKDModel',
            {'train__compile': 'yes'},
            OptionError,
            "train.compile: 'yes'; expected true or false",
        ),
        (
            'MTKDModel',
            {'train__compile': 'reduce_overhead'},
            OptionError,
            "train.compile: 'reduce_overhead'; expected true or false, or reduce-overhead or cuda",
        ),
        (
            'MTKDModel',
            {'train__compile': None},
            OptionError,
            'train.compile: None; expected true or false, or reduce-overhead or cudagraphs',
        ),
        (
            'MTKDFusionModel',
            {'train__compile': 'reduce-overhead'},
            OptionError,
            "train.compile: 'reduce-overhead'; this key is for students, not for stage 1",
        ),
        (
            'MTKDModel',
            {'train__channels_last': 1},
            OptionError,
            'train.channels_last: 1; expected true or false',
        ),
        (
            'MTKDModel',
            {'train__teacher_precision': 'half'},
            OptionError,
            r"train.teacher_precision: 'half'; known: auto, bf16, fp32; nothing \(~\) is auto on a "
            r'GPU and fp32 on a CPU',
        ),
        (
            'MTKDModel',
            {'train__teacher_precision': 'fp23'},
            OptionError,
            "train.teacher_precision: 'fp23'; .*did you mean 'fp32'",
        ),
        (
            'MTKDFusionModel',
            {'train__teacher_precision': 16},
            OptionError,
            'train.teacher_precision: 16; expected',
        ),
        ('MTKDFusionModel', {'train__amp': 'bf16'}, OptionError, 'train.amp: .* not for stage 1'),
        ('MTKDModel', {'val__tile': -3}, OptionError, 'val.tile: -3'),
        ('MTKDModel', {'num_gpu': 1}, OptionError, 'num_gpu: 1, but torch finds no CUDA device'),
        (
            'MTKDModel',
            {'teachers__edsr__weights': 'gone.pth'},
            WeightsError,
            "teachers.edsr.weights: no file 'gone.pth'",
        ),
        (
            'MTKDModel',
            {'fusion__weights': 'gone.pth'},
            WeightsError,
            "fusion.weights: no file 'gone.pth'",
        ),
        (
            'MTKDFusionModel',
            {'network_g__in_chans': 6},
            OptionError,
            'network_g.in_chans: 6; expected 9',
        ),
        (
            'MTKDFusionModel',
            {'train__mix_batches': -1},
            OptionError,
            'train.mix_batches: -1; expected',
        ),
        (
            'MTKDFusionModel',
            {'train__mix_batches': 5, 'network_g__skip': 'mean'},
            OptionError,
            "network_g.skip is 'mean'",
        ),
        ('MTKDFusionModel', {'teachers': {}}, OptionError, 'teachers: {}'),
    ],
)
def test_wrong_options_are_refused(make_options, tmp_path, model, change, error, text):
    if 'num_gpu' in change and torch.cuda.is_available():
        pytest.skip('there is a CUDA device')
    with pytest.raises(error, match=text):
        model_of(make_options(model, **change), tmp_path)


def test_stage_1_is_tested_with_a_batch_out_of_its_cache(make_options, tmp_path):
    """``mtkd test`` with the option file of a training goes through its training images too."""
    opt = make_options('MTKDFusionModel')
    batch = batch_of(opt, tmp_path)
    batch['teachers'] = torch.rand(len(batch['gt']), 9, *batch['gt'].shape[-2:])
    opt['path']['pretrain_network_g'] = write_weights(tmp_path / 'fusion.pth', opt['network_g'], 3)
    model = model_of(opt, tmp_path, is_train=False)
    model.feed_data(batch)
    model.test()
    with torch.no_grad():
        expected = model.net_g(model.ensemble(batch['lq']))
    assert torch.allclose(model.output, expected, atol=1e-6)
