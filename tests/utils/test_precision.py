"""Which precision is used: on machines of all kinds, in training, resuming, cache and check."""

import contextlib
import logging
import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import changed, parsed, snapshot, tiny, with_cache, write_options
from helpers.distillation import kd_options
from helpers.machines import MACHINES, pretend
from helpers.trainings import batch_of, model_of

from mtkd_basicsr.checks.findings import ERROR, WARNING, Findings
from mtkd_basicsr.checks.static import check_fast
from mtkd_basicsr.data.cache.format import state_of
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.utils import precision
from mtkd_basicsr.utils.precision import (
    bf16_slowdown,
    describe,
    describe_cpu,
    resolve,
    student_precision,
    supports_native_bf16,
    teacher_precision,
)

NATIVE = 'CPU with AMX'
EMULATED = 'CPU with AVX2'


@pytest.fixture(autouse=True)
def this_machine_afterwards():
    yield
    precision.forget_devices()


# The machine


@pytest.mark.parametrize('name', MACHINES)
def test_auto_is_bf16_where_it_is_native(monkeypatch, name):
    device, timed = pretend(monkeypatch, name)
    _, says, _, native, text = MACHINES[name]
    assert supports_native_bf16(device) is native
    assert describe(device) == text
    chosen = resolve('auto', device, 'train.amp')
    assert (chosen.name, chosen.warning) == ('bf16' if native else 'fp32', None)
    assert chosen.reason == f'auto: {chosen.name} ({text})'
    unknown = (
        'ARM' in name
        or name.startswith('CPU with AVX512')
        and 'torch 2.1' in name
        or 'converts' in name
    )
    assert bool(timed) == unknown, 'a layer is timed where torch says nothing, and nowhere else'
    if device.type == 'cpu':
        assert describe_cpu() == text


@pytest.mark.parametrize('name', MACHINES)
def test_bf16_is_used_where_it_is_asked_for(monkeypatch, name):
    device, _ = pretend(monkeypatch, name)
    _, _, seconds, native, text = MACHINES[name]
    if seconds is None:
        message = rf'train.amp: bf16, but this GPU \({text}\) has no kernels for it; use auto'
        with pytest.raises(OptionError, match=message):
            resolve('bf16', device, 'train.amp')
        return
    chosen = resolve('bf16', device, 'train.amp')
    assert (chosen.name, chosen.reason) == ('bf16', 'bf16')
    kind = 'GPU' if device.type == 'cuda' else 'CPU'
    factor = seconds[0] / seconds[1]
    measured = f'{factor:.1f} times slower than fp32' if factor > 1 else 'no slower than fp32'
    assert chosen.warning == (
        None
        if native
        else f'train.amp: bf16 is emulated on this {kind} ({text}): a convolution is '
        f'{measured}; use auto'
    )
    assert resolve('fp32', device, 'train.amp') == precision.Precision('fp32', 'fp32')


def test_auto_stays_what_it_was_begun_with(monkeypatch):
    pretend(monkeypatch, EMULATED)
    chosen = resolve('auto', 'cpu', 'train.amp', 'bf16')
    assert chosen.name == 'bf16'
    assert chosen.reason == 'auto: bf16 (as at the start)'
    assert (
        '9.0 times slower than fp32; the run began with it; set fp32 to change that'
        in chosen.warning
    )
    assert resolve('fp32', 'cpu', 'train.amp', 'bf16').name == 'fp32', 'what is asked for wins'
    pretend(monkeypatch, NATIVE)
    assert resolve('auto', 'cpu', 'train.amp', 'fp32') == precision.Precision(
        'fp32', 'auto: fp32 (as at the start)'
    )
    device, _ = pretend(monkeypatch, 'GPU without kernels')
    with pytest.raises(
        OptionError, match='train.amp: bf16, but .* no kernels for it; the run began'
    ):
        resolve('auto', device, 'train.amp', 'bf16')


@pytest.mark.parametrize(
    ('name', 'student', 'teacher'),
    [
        (NATIVE, 'fp32', 'fp32'),
        (EMULATED, 'fp32', 'fp32'),
        ('GPU', 'fp32', 'bf16'),
        ('GPU that emulates it', 'fp32', 'fp32'),
        ('GPU without kernels', 'fp32', 'fp32'),
    ],
)
def test_the_default_is_fp32_and_on_a_native_gpu_bf16_for_teachers(
    monkeypatch, name, student, teacher
):
    device, _ = pretend(monkeypatch, name)
    assert student_precision(None, device).name == student
    assert teacher_precision(None, device).name == teacher
    assert student_precision(None, device, 'bf16').name == 'fp32', (
        'nothing is fp32 for a student, whatever it was'
    )
    assert teacher_precision(None, device, 'fp32').name == 'fp32', 'and for teachers what it was'


def test_other_devices_are_not_native():
    assert not supports_native_bf16('mps')
    assert describe('mps') == 'mps, no native bfloat16'


def test_timing_a_convolution_of_this_machine_draws_nothing():
    precision.forget_devices()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    factor = bf16_slowdown('cpu')
    assert 0.02 < factor < 500
    assert torch.equal(torch.get_rng_state(), state), 'it draws nothing'
    assert bf16_slowdown(torch.device('cpu')) == factor, 'once for each process'
    with torch.no_grad():
        precision.forget_devices()
        assert bf16_slowdown('cpu') > 0


def test_this_machine_is_described():
    capability = torch.backends.cpu.get_cpu_capability()
    assert re.fullmatch(rf'{capability}( with AMX)?, (no )?native bfloat16', describe_cpu())
    if sys.platform == 'linux' and precision.cpu_features():
        has_amx = 'amx_bf16' in Path('/proc/cpuinfo').read_text().split()
        assert (' with AMX' in describe_cpu()) == has_amx
    if capability == 'AVX2' and precision.cpu_features().get('avx_ne_convert') is False:
        assert describe_cpu() == 'AVX2, no native bfloat16'


@pytest.mark.parametrize(
    ('present', 'native'),
    [((True, False), True), ((False, True), True), ((False, False), False), (None, None)],
)
def test_an_older_torch_that_cannot_be_asked(monkeypatch, present, native):
    for i, name in enumerate(('_is_avx512_bf16_supported', '_is_amx_tile_supported')):
        if present is None:
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda value=present[i]: value, raising=False)
    assert precision.cpu_has_bf16_instructions() is native
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    assert precision.cpu_features() == {}


@pytest.mark.parametrize(
    ('capability', 'native'), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_a_torch_that_knows_no_emulation(monkeypatch, capability, native):
    monkeypatch.setattr(torch.cuda, 'device', lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
    assert precision.gpu_has_bf16_instructions(torch.device('cuda')) is native


# Training


@pytest.fixture
def log(caplog):
    """Lines of BasicSR's log that speak of precision."""
    logger = logging.getLogger('basicsr')
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield lambda: [
        text
        for text in (record.getMessage() for record in caplog.records)
        if re.match(r'train\.amp|train\.teacher_p', text)
    ]
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ('machine', 'chosen', 'text'),
    [
        (NATIVE, 'bf16', 'AVX512 with AMX, native bfloat16'),
        (EMULATED, 'fp32', 'AVX2, no native bfloat16'),
    ],
)
def test_a_training_does_and_says_what_auto_is(
    make_options, tmp_path, monkeypatch, log, machine, chosen, text
):
    pretend(monkeypatch, machine)
    opt = make_options('MTKDModel', train__amp='auto', train__teacher_precision='auto')
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    seen = []
    dtype = torch.bfloat16 if chosen == 'bf16' else torch.float32
    model.net_g.conv_first.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    ensemble = model.distiller.teachers.fused_teachers.ensemble
    ensemble.networks[1].conv_first.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert seen == [dtype, dtype]
    assert ensemble.precision == chosen
    assert log() == [
        f'train.amp: auto: {chosen} ({text})',
        f'train.teacher_precision: auto: {chosen} ({text})',
    ]
    model.save(0, 1)
    folder = tmp_path / 'experiments' / opt['name']
    used = {'student': chosen, 'teachers': chosen}
    assert (
        torch.load(folder / 'models' / 'net_g_1.pth', weights_only=True)['mtkd']['precision']
        == used
    )
    assert (
        torch.load(folder / 'training_states' / '1.state', weights_only=True)['precision'] == used
    )


@pytest.mark.parametrize(
    ('asked', 'text'), [(None, 'fp32 (the default)'), ('fp32', 'fp32'), ('bf16', 'bf16')]
)
def test_the_log_says_what_was_asked_for(make_options, tmp_path, monkeypatch, log, asked, text):
    pretend(monkeypatch, EMULATED)
    model_of(make_options('MTKDModel', train__amp=asked), tmp_path)
    expected = [f'train.amp: {text}', 'train.teacher_precision: fp32 (the default on a CPU)']
    if asked == 'bf16':
        expected.insert(
            1,
            'train.amp: bf16 is emulated on this CPU (AVX2, no native bfloat16): a convolution is '
            '9.0 times slower than fp32; use auto',
        )
    assert log() == expected


def test_without_teachers_nothing_is_said_of_them(make_options, tmp_path, log):
    model = model_of(
        make_options('KDModel', train__kd={'type': 'Scratch'}, train__teacher_precision='bf16'),
        tmp_path,
    )
    assert log() == ['train.amp: fp32 (the default)']
    assert model.metadata()['precision'] == {'student': 'fp32'}


def test_precision_of_stage_1(make_options, tmp_path, monkeypatch, log):
    pretend(monkeypatch, NATIVE)
    model = model_of(make_options('MTKDFusionModel', train__teacher_precision='auto'), tmp_path)
    assert log() == ['train.teacher_precision: auto: bf16 (AVX512 with AMX, native bfloat16)']
    assert model.ensemble.precision == 'bf16'
    assert model.metadata()['precision'] == {'student': 'fp32', 'teachers': 'bf16'}
    model_of(make_options('MTKDFusionModel', train__amp='fp32'), tmp_path)
    with pytest.raises(OptionError, match="train.amp: 'auto'; this key is for students"):
        model_of(make_options('MTKDFusionModel', train__amp='auto'), tmp_path)


def test_teachers_out_of_a_cache_have_its_precision(cached, tmp_path, here, monkeypatch):
    pretend(monkeypatch, EMULATED)
    opt = cached['MTKDFusionModel']
    path = str(tmp_path / 'MTKDFusionModel.yml')
    here('cache', '-opt', path, '--precision', 'bf16', '--overwrite')
    assert model_of(opt, tmp_path).metadata()['precision'] == {
        'student': 'fp32',
        'teachers': 'bf16',
    }
    student = {**opt, 'model_type': 'KDModel', 'network_g': tiny('EDSR', 2)}
    for kd, expected in (
        ({'type': 'LogitKD', 'teacher': 'edsr'}, {}),
        ({'type': 'AT', 'teacher': 'edsr'}, {'features': 'fp32'}),
    ):
        student['train'] = {
            **opt['train'],
            'kd': kd,
            'amp': 'auto',
            'distill_opt': {'type': 'L1Loss'},
        }
        model = model_of(student, tmp_path)
        assert model.metadata()['precision'] == {'student': 'fp32', 'teachers': 'bf16', **expected}


# Going on


def steps(model, opt, tmp_path, numbers):
    for i in numbers:
        model.feed_data(batch_of(opt, tmp_path))
        model.optimize_parameters(i)


@pytest.mark.parametrize('name', ['MTKD', 'CrossKD', 'stage_1'])
@pytest.mark.parametrize(('first', 'then'), [(NATIVE, EMULATED), (EMULATED, NATIVE)])
def test_resumed_on_another_machine_the_precision_is_the_same(
    make_options, photographs, tmp_path, monkeypatch, log, name, first, then
):
    """Bit by bit, with other precisions for auto on the two machines."""
    changes = {'train__teacher_precision': 'auto'}
    if name == 'CrossKD':
        opt = kd_options(photographs, tmp_path, 'CrossKD', train__amp='auto', **changes)
    elif name == 'MTKD':
        opt = make_options('MTKDModel', train__amp='auto', **changes)
    else:
        opt = make_options('MTKDFusionModel', **changes)
    pretend(monkeypatch, first)
    model = model_of(opt, tmp_path)
    steps(model, opt, tmp_path, (1, 2))
    model.save(0, 2)
    steps(model, opt, tmp_path, (3,))
    whole = snapshot(model.net_g)
    before = len(log())

    pretend(monkeypatch, then)
    folder = tmp_path / 'experiments' / opt['name']
    opt['path'].update(
        pretrain_network_g=str(folder / 'models' / 'net_g_2.pth'),
        resume_state=str(folder / 'training_states' / '2.state'),
    )
    again = model_of(opt, tmp_path)
    state = torch.load(opt['path']['resume_state'], weights_only=True)
    again.resume_training(state)
    steps(again, opt, tmp_path, (3,))
    assert changed(whole, again.net_g) == set()
    began = 'bf16' if first == NATIVE else 'fp32'
    keys = (['train.amp'] if name != 'stage_1' else []) + ['train.teacher_precision']
    said = log()[before:]
    assert [line for line in said if 'emulated' not in line] == [
        f'{key}: auto: {began} (as at the start)' for key in keys
    ], 'once'
    assert sum('emulated' in line for line in said) == (len(keys) if first == NATIVE else 0)
    assert again.metadata()['precision'] == model.metadata()['precision']


def test_what_the_file_says_wins_over_the_state(make_options, tmp_path, monkeypatch):
    pretend(monkeypatch, NATIVE)
    opt = make_options('MTKDModel', train__amp='auto', train__teacher_precision='auto')
    model = model_of(opt, tmp_path)
    model.save(0, 2)
    state = torch.load(
        tmp_path / 'experiments' / opt['name'] / 'training_states' / '2.state', weights_only=True
    )
    opt['train'].update(amp='fp32', teacher_precision='fp32')
    again = model_of(opt, tmp_path)
    again.resume_training(dict(state))
    assert again.metadata()['precision'] == {'student': 'fp32', 'teachers': 'fp32'}
    assert not again.amp
    edsr = again.distiller.teachers.fused_teachers.ensemble.networks[1]
    assert edsr.body[0].conv1.weight.is_contiguous(), 'as it lies in fp32'


def test_a_state_of_version_0_1_0(make_options, tmp_path, monkeypatch):
    """It has no entry: what the file says, and what auto is here."""
    pretend(monkeypatch, NATIVE)
    opt = make_options('MTKDModel', train__amp='auto')
    model_of(opt, tmp_path).save(0, 2)
    state = torch.load(
        tmp_path / 'experiments' / opt['name'] / 'training_states' / '2.state', weights_only=True
    )
    del state['precision']
    pretend(monkeypatch, EMULATED)
    for amp, expected in (('auto', 'fp32'), ('bf16', 'bf16'), (None, 'fp32')):
        opt['train']['amp'] = amp
        again = model_of(opt, tmp_path)
        again.resume_training(dict(state))
        assert again.metadata()['precision']['student'] == expected


def test_the_log_of_a_training_says_it_once(make_options, tmp_path, monkeypatch, here, log):
    """Of a real one, which is gone on with."""
    pretend(monkeypatch, NATIVE)
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, train__amp='auto')
    opt['logger']['save_checkpoint_freq'] = 1
    path = write_options(tmp_path / 'opt.yml', opt)
    here('train', '-opt', path, '--force_yml', 'train:total_iter=1')
    assert log() == ['train.amp: auto: bf16 (AVX512 with AMX, native bfloat16)']
    pretend(monkeypatch, EMULATED)
    here('train', '-opt', path, '--auto_resume')
    _, second, warning = log()
    assert second == 'train.amp: auto: bf16 (as at the start)'
    assert warning.startswith('train.amp: bf16 is emulated on this CPU (AVX2, no native bfloat16)')


# Cache


@pytest.fixture
def uncached(make_options, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'target.lmdb')
    write_options(tmp_path / 'opt.yml', opt)
    return tmp_path / 'target.lmdb'


def made_with(path):
    return CacheReader(str(path)).manifest['made_with']['precision']


def test_a_cache_records_what_was_used(here, uncached, monkeypatch):
    pretend(monkeypatch, NATIVE)
    assert '--precision: auto: bf16 (AVX512 with AMX, native bfloat16)' in here(
        'cache', '-opt', 'opt.yml', '--precision', 'auto'
    )
    assert made_with(uncached) == 'bf16'
    pretend(monkeypatch, EMULATED)
    assert '--precision: fp32' in here(
        'cache', '-opt', 'opt.yml', '--precision', 'fp32', '--overwrite'
    )
    assert made_with(uncached) == 'fp32'
    printed = here('cache', '-opt', 'opt.yml', '--precision', 'bf16', '--overwrite')
    assert (
        'WARNING: --precision: bf16 is emulated on this CPU (AVX2, no native bfloat16): a '
        'convolution is 9.0 times' in printed
    )
    assert made_with(uncached) == 'bf16'


@pytest.mark.parametrize('asked', [[], ['--precision', 'auto']])
def test_a_finished_cache_stays_what_it_is(here, uncached, monkeypatch, asked):
    pretend(monkeypatch, NATIVE)
    here('cache', '-opt', 'opt.yml', '--precision', 'bf16')
    pretend(monkeypatch, EMULATED)
    before = (uncached / 'data.mdb').stat().st_mtime_ns
    printed = here('cache', '-opt', 'opt.yml', *asked)
    assert 'is complete: target of 3 images' in printed
    assert (
        'it was computed in bf16 and is kept; to recompute it, use --precision fp32 --overwrite'
        in printed
    )
    assert 'is kept; to recompute it' in here('cache', '-opt', 'opt.yml', *asked, '--overwrite'), (
        'nothing in it is damaged'
    )
    assert (uncached / 'data.mdb').stat().st_mtime_ns == before
    assert made_with(uncached) == 'bf16'
    printed = here('cache', '-opt', 'opt.yml', '--precision', 'fp32', expect=1)
    assert (
        "precision: 'bf16' in the cache, 'fp32' requested; replace it with --overwrite" in printed
    )
    assert 'self_ensemble: False in the cache' in here(
        'cache', '-opt', 'opt.yml', *asked, '--self-ensemble', expect=1
    )
    here('cache', '-opt', 'opt.yml', *asked, '--self-ensemble', '--overwrite')
    assert made_with(uncached) == 'fp32', 'a new one is made in what is right here'


def test_an_unfinished_cache_goes_on_as_it_was_begun(here, uncached, monkeypatch):
    pretend(monkeypatch, NATIVE)
    monkeypatch.setenv('WORLD_SIZE', '2')
    # the share of the first of two processes
    here('cache', '-opt', 'opt.yml', '--precision', 'auto')
    assert state_of(str(uncached)) == 'partial'
    monkeypatch.delenv('WORLD_SIZE')
    pretend(monkeypatch, EMULATED)
    printed = here('cache', '-opt', 'opt.yml', '--precision', 'fp32', expect=1)
    assert 'an unfinished cache of other options' in printed
    printed = here('cache', '-opt', 'opt.yml')
    assert '--precision: auto: bf16 (as at the start)' in printed
    assert 'WARNING: --precision: bf16 is emulated' in printed
    assert made_with(uncached) == 'bf16'


# Check


def findings_of(opt, level):
    findings = Findings()
    check_fast(opt, findings)
    return [
        finding.text
        for finding in findings
        if finding.level == level and finding.text.startswith(('train.amp', 'train.teacher'))
    ]


def test_check_warns_of_what_is_emulated(make_options, tmp_path, monkeypatch):
    pretend(monkeypatch, EMULATED)
    both = {'train__amp': 'bf16', 'train__teacher_precision': 'bf16'}
    text = (
        'bf16 is emulated on this CPU (AVX2, no native bfloat16): a convolution is 9.0 '
        'times slower than fp32; use auto'
    )
    opt = parsed(make_options('MTKDModel', **both), True, tmp_path)
    assert findings_of(opt, WARNING) == [f'train.amp: {text}', f'train.teacher_precision: {text}']
    opt['train'].update(amp='auto', kd={'type': 'Scratch'})
    assert findings_of(opt, WARNING) == [], 'no teacher runs'
    assert findings_of(opt, 'ok') == ['train.amp: auto: fp32 (AVX2, no native bfloat16)']
    stage_1 = parsed(
        make_options('MTKDFusionModel', train__teacher_precision='bf16'), True, tmp_path
    )
    assert findings_of(stage_1, WARNING) == [f'train.teacher_precision: {text}']
    pretend(monkeypatch, NATIVE)
    assert findings_of(parsed(make_options('MTKDModel', **both), True, tmp_path), WARNING) == []


def test_check_knows_when_no_teacher_runs(cached, tmp_path, monkeypatch):
    pretend(monkeypatch, EMULATED)
    opt = parsed(cached['MTKDModel'], True, tmp_path)
    opt['train']['teacher_precision'] = 'bf16'
    assert findings_of(opt, WARNING) == []
    opt['train']['kd'] = {'type': 'MTKD', 'also': ['DUKD']}
    assert len(findings_of(opt, WARNING)) == 1
    opt['train']['kd'] = {'type': 'FAKD', 'teacher': 'edsr'}
    assert len(findings_of(opt, WARNING)) == 1


def test_check_refuses_a_gpu_without_kernels(make_options, tmp_path, monkeypatch):
    pretend(monkeypatch, 'GPU without kernels')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    opt = parsed(
        make_options(
            'MTKDModel', num_gpu='auto', train__amp='bf16', train__teacher_precision='bf16'
        ),
        True,
        tmp_path,
    )
    text = 'bf16, but this GPU (Some GPU, no native bfloat16) has no kernels for it; use auto'
    assert findings_of(opt, ERROR) == [f'train.amp: {text}', f'train.teacher_precision: {text}']
    opt['train'].update(amp='auto', teacher_precision=None)
    assert findings_of(opt, ERROR) == findings_of(opt, WARNING) == []


def test_check_prints_the_precision(make_options, tmp_path, monkeypatch, here):
    pretend(monkeypatch, EMULATED)
    path = write_options(
        tmp_path / 'opt.yml',
        make_options('KDModel', train__kd={'type': 'Scratch'}, train__amp='bf16'),
    )
    assert 'WARNING train.amp: bf16 is emulated on this CPU (AVX2, no native bfloat16)' in here(
        'check', '-opt', path
    )
