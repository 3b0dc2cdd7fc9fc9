"""Training steps: all methods, precisions, compilation, the moving average, the guard."""

import copy
import io
import itertools
import warnings

import torch
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from methods import SMALL_ENCODER, dckd_options

from mtkd_basicsr.models.schedule import AskedSchedule

from .frame import check, relative, same, tf32
from .setups import (
    STUDENTS,
    all_methods,
    batch,
    gradients,
    packed,
    patch_size,
    stepper,
    student_options,
    training,
    weights_folder,
)


def _one_step(opt, device, data, **changes):
    """Return losses and gradients of the first step."""
    model = training(opt, device, **changes)
    stepper(model, data)()
    return dict(model.log_dict), gradients(model)


def _compare(context, part, found, expected, limits):
    losses = {name: abs(found[0][name] / value - 1) for name, value in expected[0].items() if value}
    context.expect(f'{part}: losses', max(losses.values()), limits[0])
    missing = sorted(set(expected[1]) ^ set(found[1]))
    context.expect_true(f'{part}: the same gradients', not missing, ', '.join(missing[:3]))
    errors = {n: relative(found[1][n], g) for n, g in expected[1].items() if n in found[1]}
    worst = max(errors, key=errors.get)
    context.expect(f'{part}: gradients ({worst})', errors[worst], limits[1])


@check(seconds=90, rank=11)
def methods(context):
    """One step of every method on the device against the CPU: losses and all gradients."""
    data = batch(context, 16, context.pick(4, 2))  # small: the teachers run on the CPU as well
    options = all_methods(context)
    options['DCKD'] = dckd_options(options['LogitKD'], weights_folder(context), SMALL_ENCODER)
    for name, opt in options.items():
        with context.part(name), tf32(False):
            expected = _one_step(opt, 'cpu', data)
            found = _one_step(opt, context.device, data)
            _compare(context, name, found, expected, (1e-4, 1e-2))


@check(seconds=120, rank=26)
def modes(context):
    """Steps with amp, channels_last and compile against plain ones."""
    data = batch(context, patch_size(context), context.pick(4, 2))
    found = all_methods(context)
    for method in ('MTKD', 'FAKD'):
        with tf32(False):
            plain = _one_step(found[method], context.device, data)
            for name, changes, limits in (
                ('amp', {'amp': 'bf16'}, (2e-2, 0.2)),
                ('channels_last', {'channels_last': True}, (1e-3, 1e-2)),
                ('compile', {'compile': True}, (1e-3, 1e-2)),
            ):
                part = f'{method}, {name}'
                with context.part(part):
                    one = _one_step(found[method], context.device, data, **changes)
                    _compare(context, part, one, plain, limits)


@check(seconds=120, rank=34)
def cuda_graphs(context):
    """Several steps of a student whose kernels are CUDA graphs against plain ones."""
    data = batch(context, patch_size(context), context.pick(4, 2))
    found = all_methods(context)
    # DUKD runs the student twice in a step, and FAKD reads its features.
    for method in context.pick(('MTKD', 'FAKD', 'DUKD'), ('MTKD',)):
        with context.part(method), tf32(False):
            results = []
            for mode in (False, 'reduce-overhead'):
                model = training(found[method], context.device, compile=mode)
                step = stepper(model, data)
                # The first ones warm up and record.
                for _ in range(context.pick(8, 2)):
                    step()
                results.append((dict(model.log_dict), gradients(model)))
            _compare(context, method, results[1], results[0], (1e-2, 5e-2))


@check(seconds=90, rank=5)
def recorded_graphs(context):
    """Steps whose kernels, also those of teachers, are CUDA graphs as they are, against plain."""
    batches = [batch(context, patch_size(context), 2, seed=seed) for seed in range(5)]
    found = all_methods(context)
    for method in context.pick(('MTKD', 'LogitKD', 'DUKD', 'FAKD'), ('MTKD',)):
        opt = found[method]
        # Weights that stay where they are: each step can be compared on its own.
        opt['train']['optim_g']['lr'] = 1e-12
        with context.part(method), tf32(False):
            results = []
            for mode in (False, 'cudagraphs'):
                model = training(opt, context.device, cached=False, compile=mode)
                seen = []
                for iteration, data in enumerate(batches, 1):
                    model.feed_data(data)
                    model.optimize_parameters(iteration)
                    kept = {name: g.clone() for name, g in gradients(model).items()}
                    seen.append((dict(model.log_dict), kept))
                results.append(seen)
            for number, (plain, recorded) in enumerate(zip(*results), 1):
                equal = same(recorded[1], plain[1])
                context.record(f'{method}, step {number}: equal bits', equal)
                _compare(context, f'{method}, step {number}', recorded, plain, (1e-5, 1e-3))
            calls = getattr(model.distiller.teachers, '_recorded', None)
            if calls is not None:
                context.record(f'{method}: graphs of the teachers', len(calls._graphs))
                for seed in range(3):
                    x = batch(context, patch_size(context), 2, context.device, seed)['lq']
                    recorded = calls(x)
                    plain = calls.function(x)
                    equal = torch.equal(recorded, plain)
                    context.record(f'{method}: target of batch {seed}: equal bits', equal)
                    error = relative(recorded, plain)
                    context.expect(f'{method}: target of batch {seed}', error, 1e-5)


@check(seconds=120, rank=27)
def compilation(context):
    """Compiled students: graphs, breaks, and compilations after the third step."""
    from torch._dynamo.utils import counters

    data = batch(context, patch_size(context), context.pick(4, 2))
    for student in context.pick(STUDENTS, STUDENTS[:1]):
        for method in context.pick(('MTKD', 'FAKD'), ('MTKD',)):
            part = f'{student}, {method}'
            with context.part(part):
                torch._dynamo.reset()
                counters.clear()
                opt = all_methods(context, student)[method]
                step = stepper(training(opt, context.device, compile=True), data)
                for _ in range(3):
                    step()
                graphs = counters['stats']['unique_graphs']
                for _ in range(3):
                    step()
                later = counters['stats']['unique_graphs'] - graphs
                breaks = sum(counters['graph_break'].values())
                context.record(f'{part}: graphs', graphs)
                context.expect(f'{part}: graph breaks', breaks, 0)
                context.expect(f'{part}: compilations after step 3', later, 0)


@check(seconds=40, rank=28)
def moving_average(context):
    """The moving average of parameters against BasicSR's, after several steps."""
    for student in context.pick(STUDENTS, STUDENTS[:1]):
        with context.part(student):
            model = training(student_options(context, student), context.device)
            step = stepper(model, batch(context, patch_size(context), 2))
            step()
            theirs = copy.deepcopy(model.net_g_ema)
            ours = model.net_g_ema
            model.net_g_ema = theirs
            SRModel.model_ema(model, decay=0.9)
            model.net_g_ema = ours
            type(model).model_ema(model, decay=0.9)
            expected = dict(theirs.named_parameters())
            found = dict(ours.named_parameters())
            equal = same(dict(found), dict(expected))
            errors = [relative(found[name], expected[name]) for name in expected]
            context.record(f'{student}: equal bits', equal)
            context.expect(f'{student}: largest difference', max(errors), 1e-6)


@check(seconds=30, rank=29)
def fused_adam(context):
    """Adam with one kernel for all parameters against the usual one, 20 steps."""
    results = {}
    data = batch(context, patch_size(context), 2)
    for fused in (False, True):
        opt = student_options(context)
        opt['train']['optim_g']['fused'] = fused
        with context.part(f'fused: {fused}'), tf32(False):
            model = training(opt, context.device)
            step = stepper(model, data)
            for _ in range(context.pick(20, 3)):
                step()
            results[fused] = dict(model.get_bare_model(model.net_g).named_parameters())
    errors = [relative(results[True][n], p) for n, p in results[False].items()]
    context.expect('parameters', max(errors), 1e-3)
    for before in (False, True):
        part = f'resumed with fused: {not before}'
        with context.part(part):
            _resume_with(context, data, before)
            context.expect_true(part, True)


def _resume_with(context, data, before):
    """Make a step, and another one that resumes it with the other kind of Adam."""
    opt = student_options(context)
    opt['train']['optim_g']['fused'] = before
    model = training(opt, context.device)
    stepper(model, data)()
    state = {
        'epoch': 0,
        'iter': 1,
        'optimizers': [optimizer.state_dict() for optimizer in model.optimizers],
        'schedulers': [scheduler.state_dict() for scheduler in model.schedulers],
    }
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    opt['train']['optim_g']['fused'] = not before
    model = training(opt, context.device)
    asked = AskedSchedule(model, -1)
    saved = torch.load(file, map_location='cpu', weights_only=True)
    BaseModel.resume_training(model, saved)
    asked.use(saved, -1)
    stepper(model, data)()


@check(seconds=30, rank=30)
def loss_guard(context):
    """A step whose loss is NaN changes nothing; the one behind it is as if there had been none."""
    data = batch(context, patch_size(context), 2)
    broken = {name: x.clone() for name, x in data.items()}
    broken['gt'][0, 0, 0, 0] = float('nan')
    model = training(student_options(context), context.device)
    step = stepper(model, data)
    step()
    losses = model.losses(1)
    model.loss_guard.start(losses)
    values = model.loss_guard.values()
    exact = {name: value.item() for name, value in losses.items()}
    context.expect_true('values are those of the losses', values == exact)

    def state():
        return copy.deepcopy(
            [
                model.net_g.state_dict(),
                model.net_g_ema.state_dict(),
                model.optimizer_g.state_dict()['state'],
            ]
        )

    before = state()
    model.feed_data(broken)
    model.optimize_parameters(2)
    context.expect_same('nothing has changed', state(), before)
    model.feed_data(data)
    model.optimize_parameters(3)
    finite = all(p.isfinite().all() for p in model.net_g.parameters())
    context.expect_true('the next step is a normal one', finite and not same(state(), before))


@check(seconds=60, rank=16)
def synchronising(context):
    """Calls in a step that wait for the GPU, other than the guard's."""
    if context.device != 'cuda':
        context.record('without a GPU', 'nothing waits')
        return
    floats = batch(context, patch_size(context))
    batches = {
        'floats': {name: x.pin_memory() for name, x in floats.items()},
        'packed bytes': packed(floats),
    }
    batches['packed bytes']['pixels'] = batches['packed bytes']['pixels'].pin_memory()
    methods = all_methods(context).items()
    for (name, opt), (kind, data) in itertools.product(methods, batches.items()):
        name = f'{name}, {kind}'
        with context.part(name):
            step = stepper(training(opt, context.device), data)
            step()
            step()
            torch.cuda.set_sync_debug_mode('warn')  # says at the first time that it is new
            torch.cuda.synchronize()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                torch.cuda.set_sync_debug_mode('warn')
                try:
                    step()
                finally:
                    torch.cuda.set_sync_debug_mode('default')
            places = {f'{w.filename.split("/")[-1]}:{w.lineno}' for w in caught}
            places = {p for p in places if not p.startswith('loss_guard')}
            context.expect_true(name, not places, ', '.join(sorted(places)) or 'none')


@check(seconds=20, rank=31)
def devices_of_steps(context):
    """Without a GPU asked for, none is initialised by a training step."""
    model = training(student_options(context), 'cpu')
    was = torch.cuda.is_initialized()
    stepper(model, batch(context, patch_size(context), 2))()
    assert isinstance(model, BaseModel)
    context.expect_true('num_gpu: 0', torch.cuda.is_initialized() == was)
