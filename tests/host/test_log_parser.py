"""The course of a training, as BasicSR's logs say it: against times that are known."""

import re
from datetime import datetime, timedelta

import pytest
import yaml
from conftest import mtkd, options_for

from mtkd_basicsr.host.log_parser import read_training

FIRST = """2026-11-21 10:00:00,000 INFO: Start training from epoch: 0, iter: 0
2026-11-21 10:00:10,000 INFO: [demo_][epoch:  0, iter:     500, lr:(1e-03,)] [eta: 0:00:00, time (data): 0.02 (0.00)] l_pix: 1e-02
2026-11-21 10:00:20,000 INFO: [demo_][epoch:  0, iter:   1,000, lr:(1e-03,)] [eta: 0:00:00, time (data): 0.02 (0.00)] l_pix: 1e-02
2026-11-21 10:00:20,001 INFO: Saving models and training states.
2026-11-21 10:01:20,000 INFO: Validation Set5
\t # psnr: 28.5000\tBest: 28.5000 @ 1000 iter
\t # ssim: 0.8000\tBest: 0.8000 @ 1000 iter

2026-11-21 10:01:30,500 INFO: [demo_][epoch:  0, iter:   1,500, lr:(1e-03,)] [eta: 0:00:00, time (data): 0.02 (0.00)] l_pix: 1e-02
"""  # noqa: E501
SECOND = """2026-11-21 11:00:00,000 INFO: Resuming training from epoch: 0, iter: 1000.
2026-11-21 11:00:00,000 INFO: Start training from epoch: 0, iter: 1000
2026-11-21 11:00:12,000 INFO: [demo_][epoch:  0, iter:   1,500, lr:(1e-03,)] [eta: 0:00:00, time (data): 0.02 (0.00)] l_pix: 1e-02
2026-11-21 11:00:22,000 INFO: [demo_][epoch:  0, iter:   2,000, lr:(1e-03,)] [eta: 0:00:00, time (data): 0.02 (0.00)] l_pix: 1e-02
2026-11-21 11:01:00,000 INFO: Validation Set5
\t # psnr: 29.2500\tBest: 29.2500 @ 2000 iter

2026-11-21 11:01:00,000 INFO: End of training. Time consumed: 0:01:00
2026-11-21 11:01:30,000 INFO: Validation Set5
\t # psnr: 29.2500\tBest: 29.2500 @ 2000 iter
"""  # noqa: E501


def options(val_freq, total, sets=('val',), metrics=('psnr',)):
    """What is read of the options of a training."""
    kinds = {name: {'type': 'calculate_psnr'} for name in metrics}
    kinds['ssim'] = {'type': 'calculate_ssim'}
    return {
        'datasets': dict.fromkeys(('train', *sets), {}),
        'train': {'total_iter': total},
        'val': {'val_freq': val_freq, 'metrics': kinds},
    }


def log_of(opt, print_freq, start=0, stop=None, step=2.0, validation=60.0):
    """The log of a process whose every step and validation takes a known time.

    The PSNR on the first set is 20 dB and a hundredth for each iteration, on others 10 dB.
    """
    now = datetime(2026, 11, 21, 10)
    total = opt['train']['total_iter']
    sets = [phase for phase in opt['datasets'] if phase != 'train']
    lines = []

    def say(text):
        lines.append(f'{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d} INFO: {text}')

    def validate(iteration):
        nonlocal now
        for i, phase in enumerate(sets):
            now += timedelta(seconds=validation)
            say(f'Validation {phase}')
            for name, kind in opt['val']['metrics'].items():
                value = (
                    0.8 if kind['type'] == 'calculate_ssim' else 10 if i else 20 + iteration / 100
                )
                lines.append(f'\t # {name}: {value:.4f}\tBest: 99.0000 @ 1 iter')
            lines.append('')

    say(f'Start training from epoch: 0, iter: {start}')
    for iteration in range(start + 1, (stop or total) + 1):
        now += timedelta(seconds=step)
        if iteration % print_freq == 0:
            say(f'[demo_][epoch:  0, iter:{iteration:8,d}, lr:(1e-03,)] l_pix: 1e-02')
        if iteration % opt['val']['val_freq'] == 0:
            validate(iteration)
    if stop is None:
        say('End of training. Time consumed: 0:01:00')
        validate(total)
    return '\n'.join(lines) + '\n'


def test_a_training_that_was_stopped_counts_once(tmp_path):
    opt = options(1000, 2000)
    (tmp_path / 'train_x_20261121_100000.log').write_text(FIRST)
    assert read_training(tmp_path, opt) == ([(1000, 20.0, 28.5)], 30.5)
    (tmp_path / 'train_x_20261121_110000.log').write_text(SECOND)
    curve, seconds = read_training(tmp_path, opt)
    assert curve == [(1000, 20.0, 28.5), (2000, 42.0, 29.25)], (
        'validation and lost iterations take no time of training'
    )
    assert seconds == 42.0


@pytest.mark.parametrize(
    ('print_freq', 'opt', 'expected'),
    [
        (10, options(25, 50), [25, 50]),
        (10, options(25, 60), [25, 50, 60]),
        (25, options(10, 50), [10, 20, 30, 40, 50]),
        (7, options(5, 23), [5, 10, 15, 20, 23]),
        (10, options(10, 40), [10, 20, 30, 40]),
        (100, options(40, 200), [40, 80, 120, 160, 200]),
        (1, options(1, 3), [1, 2, 3]),
        (10, options(2.5e1, 50), [25, 50]),
        (10, options(1e9, 35), [35]),
        (10, options(25, 50, sets=('val', 'val_2', 'val_3')), [25, 50]),
        (10, options(25, 50, metrics=('y', 'rgb')), [25, 50]),
        (2000, options(500, 2500), [500, 1000, 1500, 2000, 2500]),
    ],
)
def test_a_validation_has_its_own_iteration_and_seconds(tmp_path, print_freq, opt, expected):
    (tmp_path / 'train_x_1.log').write_text(log_of(opt, print_freq))
    curve, seconds = read_training(tmp_path, opt)
    assert curve == [(i, 2.0 * i, 20 + i / 100) for i in expected]
    assert seconds == 2.0 * opt['train']['total_iter']


@pytest.mark.parametrize(('start', 'stop'), [(25, 27), (25, 38), (20, 29), (50, 52), (30, 60)])
def test_what_a_stop_has_lost_is_in_no_curve(tmp_path, start, stop):
    opt = options(25, 70)
    (tmp_path / 'train_x_1.log').write_text(log_of(opt, 10, stop=stop))
    (tmp_path / 'train_x_2.log').write_text(log_of(opt, 10, start=start))
    curve, seconds = read_training(tmp_path, opt)
    assert curve == [(i, 2.0 * i, 20 + i / 100) for i in (25, 50, 70)]
    assert seconds == 140.0


def test_without_a_printed_line_the_time_is_that_of_the_log(tmp_path):
    """How long a validation took is not known then."""
    opt = options(25, 50)
    (tmp_path / 'train_x_1.log').write_text(log_of(opt, 1000, stop=30))
    assert read_training(tmp_path, opt) == ([(25, 110.0, 20.25)], 110.0)


def test_validations_without_a_number_are_left_out(tmp_path):
    opt = options(10, 20)
    text = log_of(opt, 10).replace('psnr: 20.1000', 'psnr: nan')
    (tmp_path / 'train_x_1.log').write_text(text)
    assert read_training(tmp_path, opt) == ([(20, 40.0, 20.2)], 40.0)
    opt['val'] = None
    assert read_training(tmp_path, opt)[1] == 40.0
    assert read_training(tmp_path / 'none', opt) == ([], 0.0)


@pytest.mark.slow
def test_a_training_of_basicsr(photographs, tmp_path):
    """BasicSR logs the iteration of a validation that is the best so far."""
    opt = options_for(photographs, tmp_path, 'KDModel', train__kd={'type': 'Scratch'})
    opt['datasets']['val_2'] = {**opt['datasets']['val'], 'name': 'other'}
    opt['train'].update(total_iter=11)
    opt['val'].update(val_freq=3)
    opt['logger'].update(print_freq=2)
    (tmp_path / 'o.yml').write_text(yaml.safe_dump(opt))
    mtkd('train', '-opt', 'o.yml', cwd=tmp_path)
    experiment = tmp_path / 'experiments' / opt['name']
    curve, seconds = read_training(experiment, opt)
    assert [iteration for iteration, _, _ in curve] == [3, 6, 9, 11]
    (log,) = experiment.glob('train_*.log')
    text = log.read_text()
    said = re.findall(r'Validation val\n\t # psnr: ([\d.]+)\tBest: ([\d.]+) @ (\d+) iter', text)
    assert len(said) == 4
    for (iteration, _, psnr), (value, best, at) in zip(curve, said, strict=True):
        assert psnr == float(value)
        if value == best and iteration != 11:  # the last one has BasicSR's own count, 13
            assert iteration == int(at)
    assert 0 < curve[0][1] < curve[-1][1] <= seconds
