"""Training states across devices, and a short training on both."""

import copy
import io

import torch

from .frame import check, same, tf32
from .setups import batch, patch_size, stepper, student_options, training


def _everything(model):
    return copy.deepcopy(
        {
            'student': model.net_g.state_dict(),
            'average': model.net_g_ema.state_dict(),
            'optimizer': model.optimizer_g.state_dict()['state'],
            'updates': model.ema_updates,
        }
    )


def _restored(model, saved):
    """Put saved weights and optimizer into a new model, through a file as a training state is."""
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    content = torch.load(file, map_location='cpu', weights_only=True)
    model.net_g.load_state_dict(content['student'])
    model.net_g_ema.load_state_dict(content['average'])
    state = model.optimizer_g.state_dict()
    model.optimizer_g.load_state_dict({**state, 'state': content['optimizer']})
    model.ema_updates = content['updates']


def _steps(model, data, first, last):
    for iteration in range(first, last + 1):
        model.feed_data(data)
        model.optimize_parameters(iteration)


@check(seconds=60, rank=19)
def resuming(context):
    """4 + 4 steps through a saved state against 8 steps, and a state on the other device."""
    opt = student_options(context)
    data = batch(context, patch_size(context), context.pick(4, 2))
    for deterministic in (True, False):
        part = 'deterministic' if deterministic else 'with the defaults'
        with context.part(part):
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            benchmark = torch.backends.cudnn.benchmark
            torch.backends.cudnn.benchmark = not deterministic
            try:
                whole = training(opt, context.device)
                _steps(whole, data, 1, 4)
                saved = _everything(whole)
                _steps(whole, data, 5, 8)
                resumed = training(opt, context.device)
                _restored(resumed, saved)
                context.expect_same(f'{part}: what was loaded', _everything(resumed), saved)
                _steps(resumed, data, 5, 8)
            finally:
                torch.use_deterministic_algorithms(False)
                torch.backends.cudnn.benchmark = benchmark
            equal = same(_everything(resumed), _everything(whole))
            if deterministic:
                context.expect_true(f'{part}: equal bits', equal)
            else:
                context.record(f'{part}: equal bits', equal)
    with context.part('on the CPU'):
        other = training(opt, 'cpu')
        _restored(other, saved)
        context.expect_same('on the CPU: what was loaded', _everything(other), saved)
        _steps(other, data, 5, 5)


@check(seconds=90, rank=34)
def short_training(context):
    """The same training on the device and on the CPU: final loss, also with amp and compile."""
    opt = student_options(context)
    steps = context.pick(200, 4)
    data = batch(context, context.pick(16, 12), 4)

    def final(device, **changes):
        model = training(opt, device, **changes)
        step = stepper(model, data)
        for _ in range(steps):
            step()
        return sum(model.log_dict.values())

    with tf32(False):
        expected = final('cpu')
    context.record('CPU, final loss', expected)
    for name, changes in (('fp32', {}), ('amp and compile', {'amp': 'bf16', 'compile': True})):
        with context.part(name):
            error = abs(final(context.device, **changes) / expected - 1)
            context.expect(f'{name}: final loss', error, 0.05 if name == 'fp32' else 0.1)
