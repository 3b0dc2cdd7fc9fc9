"""Training in two processes, on gloo: the same losses and gradients as in one, and the commands of
a user.
"""

import re
import runpy
import signal
import sys
from multiprocessing import spawn
from pathlib import Path

import pytest
import torch
from basicsr.utils import dist_util
from conftest import ROOT, options_for, parsed, run, tiny, write_options, write_weights
from helpers.distillation import batch_of, kd_options
from helpers.two_processes import BROKEN, model_of, take_step

from mtkd_basicsr.commands import cli
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host import distributed, patches
from mtkd_basicsr.utils.launchers import check_launched

# What is compared lies within an image: two processes are one with both batches.
WHOLE = (
    'stage_1',
    'mix',
    'MTKD',
    'LogitKD',
    'AT',
    'FAKD',
    'FitNet',
    'Scratch',
    'CrossKD',
    'CrossKD_SwinIR',
    'DUKD_still',
    'clipped',
)
# It lies within a batch (RKD, DCKD), or each process draws for itself (DUKD, DCKD): two processes
# are the mean of both, and not one with both batches.
HALVES = ('DUKD', 'DUKD_unused', 'RKD', 'DCKD', 'together')


def torchrun(*arguments, cwd, expect=0, processes=2, **environment):
    """Runs something in two processes that see no GPU, or as the environment says."""
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--standalone',
        f'--nproc_per_node={processes}',
        *arguments,
    ]
    return run(command, cwd, expect, **{'CUDA_VISIBLE_DEVICES': '', **environment})


def trainings(photographs, folder):
    """Options of small trainings, one for each process, and their batches, by name."""
    halves = [batch_of(2, seed=1), batch_of(2, seed=2)]

    def kd(name, method, *args, **changes):
        (folder / name).mkdir(parents=True)
        return [kd_options(photographs, folder / name, method, *args, **changes)] * 2

    for name, batches in (('stage_1', 0), ('mix', 2)):
        (folder / name).mkdir()
        opt = options_for(photographs, folder / name, 'MTKDFusionModel', train__mix_batches=batches)
        opt['path']['pretrain_network_g'] = write_weights(
            folder / name / 'start.pth', opt['network_g'], 3
        )  # without zeros
        yield name, [opt] * 2, halves
        if name == 'mix':
            broken = {**halves[1], 'gt': halves[1]['gt'] * float('nan')}
            yield 'mix_not_finite', [opt] * 2, [halves[0], broken]
    for method, student in (
        ('MTKD', 'EDSR'),
        ('LogitKD', 'SwinIR'),
        ('AT', 'RCAN'),
        ('FAKD', 'SwinIR'),
        ('FitNet', 'EDSR'),
        ('Scratch', 'RCAN'),
    ):
        yield method, kd(method, method, student), halves
    yield 'clipped', kd('clipped', 'FitNet', train__grad_clip=0.01), halves
    yield 'CrossKD', kd('CrossKD', 'CrossKD', 'RCAN', ('EDSR',)), halves
    yield 'CrossKD_SwinIR', kd('CrossKD_SwinIR', 'CrossKD', 'SwinIR'), halves
    # The same tile for all images, whichever is drawn.
    tiles = [{**batch, 'gt': batch['gt'][:1, :, :8, :8].repeat(2, 1, 2, 2)} for batch in halves]
    yield (
        'DUKD_still',
        kd('DUKD_still', {'type': 'DUKD', 'probability': 0.0, 'zoom_out': True}),
        tiles,
    )
    yield 'DUKD', kd('DUKD', {'type': 'DUKD', 'zoom_out': True}, 'SwinIR'), halves
    unused = kd('DUKD_unused', 'DUKD')
    yield 'DUKD_unused', [{**opt, 'find_unused_parameters': True} for opt in unused], halves
    yield 'RKD', kd('RKD', 'RKD'), [batch_of(3, seed=1), batch_of(3, seed=2)]
    dckd = {'type': 'DCKD', 'form': 'code', 'history_every': [1], 'history_milestones': []}
    yield 'DCKD', kd('DCKD', dckd), halves
    yield (
        'together',
        kd('together', {'type': 'MTKD', 'also': ['DUKD', 'FitNet', 'CrossKD', 'FAKD']}, 'SwinIR'),
        halves,
    )
    # Each process has other teachers, and keeps them.
    first, second = (
        kd(f'own_teachers/{rank}', {'type': 'MTKD', 'also': ['DUKD', 'FitNet']})[0]
        for rank in (0, 1)
    )
    for block in (second['teachers']['swinir'], second['fusion']):
        write_weights(block['weights'], block['network'], seed=99)
    yield 'own_teachers', [first, second], halves
    # What each could decide for itself: the first decides for both.
    yield (
        'precision',
        [
            kd(f'precision/{amp}', 'LogitKD', train__amp=amp, train__teacher_precision=amp)[0]
            for amp in ('bf16', 'fp32')
        ],
        halves,
    )
    for what in BROKEN:
        yield f'broken_{what}', kd(f'broken_{what}', 'FitNet'), halves


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """As each of the two processes has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What the two processes read and write."""
    return tmp_path_factory.mktemp('ranks')


@pytest.fixture(scope='module')
def cases(photographs, folder):
    """All of them with what two processes made of each: two steps, three of what is resumed."""
    made = {}
    for name, opts, batches in trainings(photographs, folder):
        opts = [parsed(opt, True, folder / name) for opt in opts]
        for key in ('models', 'training_states'):
            Path(opts[0]['path'][key]).mkdir(parents=True)
        made[name] = {
            'opts': opts,
            'batches': batches,
            'resumed': name in ('CrossKD', 'DCKD'),
            'broken': name.partition('broken_')[2],
        }
    torch.save(list(made.items()), folder / 'cases.pt')
    torchrun(ROOT / 'tests' / 'helpers' / 'two_processes.py', folder, cwd=folder)
    return {
        name: {
            **case,
            'results': [
                torch.load(folder / f'{name}.{rank}.pt', weights_only=True) for rank in (0, 1)
            ],
        }
        for name, case in made.items()
    }


def alone(case, batch, rank=0):
    """The first step of one process, which has the weights of the first of two."""
    model = model_of(case['opts'][0])
    model.opt['rank'] = rank  # what it draws depends on it
    return take_step(model, batch)


def assert_equal(one, other, what, relative=0.0, absolute=0.0):
    assert one.keys() == other.keys()
    for name in one:
        a = torch.as_tensor(one[name])
        b = torch.as_tensor(other[name])
        assert (a - b).abs().max() <= absolute + relative * b.abs().max(), f'{what} {name}'


def assert_same_everywhere(results):
    """Both processes have the same student, adapters and moving average at each step."""
    for first, second in zip(*(result['steps'] for result in results)):
        for what in ('before', 'gradients', 'after', 'ema'):
            assert_equal(first[what], second[what], what)


@pytest.mark.slow
def test_all_processes_have_the_precision_of_the_first(cases):
    assert [result['precision'] for result in cases['precision']['results']] == [
        {'student': 'bf16', 'teachers': 'bf16'}
    ] * 2


@pytest.mark.slow
@pytest.mark.parametrize('name', WHOLE + HALVES)
def test_losses_and_gradients_are_those_of_one_process(cases, name):
    case = cases[name]
    if name in WHOLE:
        expected = alone(
            case,
            {key: torch.cat([batch[key] for batch in case['batches']]) for key in ('lq', 'gt')},
        )
    else:
        one, other = (alone(case, batch, rank) for rank, batch in enumerate(case['batches']))
        expected = {
            what: {key: (one[what][key] + other[what][key]) / 2 for key in one[what]}
            for what in ('log', 'gradients')
        }
    found = case['results'][0]['steps'][0]
    assert all(gradient.any() for gradient in expected['gradients'].values())
    assert_equal(found['log'], expected['log'], 'loss', absolute=1e-6)
    # Sums of many pixels in another order.
    assert_equal(
        found['gradients'], expected['gradients'], 'gradient', absolute=1e-6, relative=1e-5
    )


@pytest.mark.slow
def test_no_process_waits_for_one_whose_batch_fits_no_mix(cases):
    """The step is skipped in both, and the mix remains as it was."""
    first, second = (result['steps'] for result in cases['mix_not_finite']['results'])
    assert len(first) == len(second) == 2
    for one, other in zip(first, second):
        assert_equal(one['before'], other['before'], 'weights')
        for step in (one, other):
            assert not torch.isfinite(torch.tensor(step['log']['l_pix']))
            assert_equal(step['after'], step['before'], 'weights')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['RKD', 'DUKD'])
def test_some_methods_are_not_those_of_one_process(cases, name):
    case = cases[name]
    expected = alone(
        case, {key: torch.cat([batch[key] for batch in case['batches']]) for key in ('lq', 'gt')}
    )
    with pytest.raises(AssertionError, match='loss l_(rkd|zoom_in)'):
        assert_equal(case['results'][0]['steps'][0]['log'], expected['log'], 'loss', absolute=1e-6)


@pytest.mark.slow
def test_each_process_draws_for_itself(cases):
    case = cases['DUKD']
    first, second = (alone(case, case['batches'][0], rank)['log'] for rank in (0, 1))
    assert first['l_pix'] == second['l_pix']
    assert first['l_zoom_in'] != second['l_zoom_in']


@pytest.mark.slow
@pytest.mark.parametrize('name', WHOLE + HALVES + ('own_teachers',))
def test_all_processes_have_the_same_student(cases, name):
    results = cases[name]['results']
    assert_same_everywhere(results)
    first, second, *_ = results[0]['steps']
    assert_equal(first['after'], second['before'], 'weights between steps')
    assert all((first['before'][key] != second['after'][key]).any() for key in first['before'])
    expected = {  # the first update, of an average that is warmed up
        key: 0.1 * first['before'][key] + 0.9 * first['after'][key]
        for key in first['ema']
        if key != 'mix.weight'
    }
    assert_equal(
        {key: first['ema'][key] for key in expected}, expected, 'moving average', absolute=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('what', 'found'),
    [
        ('broadcast_parameters', 'before'),
        ('average_gradients', 'gradients methods'),
        ('wrapper', 'gradients conv'),
    ],
)
def test_processes_that_go_apart_are_found_out(cases, what, found):
    with pytest.raises(AssertionError, match=found):
        assert_same_everywhere(cases[f'broken_{what}']['results'])


@pytest.mark.slow
def test_only_the_student_is_wrapped_and_each_process_keeps_its_teachers(cases):
    for name, case in cases.items():
        for opt, result in zip(case['opts'], case['results']):
            assert result['wrapped'] == [True], name
            blocks = {
                **opt.get('teachers', {}),
                **({'fusion': opt['fusion']} if 'fusion' in result['frozen'] else {}),
            }
            assert result['frozen'].keys() == blocks.keys(), name
            for key, block in blocks.items():
                assert_equal(
                    result['frozen'][key],
                    torch.load(block['weights'], weights_only=True)['params'],
                    key,
                )
    first, second = (result['frozen'] for result in cases['own_teachers']['results'])
    for key in ('swinir', 'fusion'):
        with pytest.raises(AssertionError, match=key):
            assert_equal(first[key], second[key], key)


@pytest.mark.slow
def test_all_processes_go_on_from_a_state(cases):
    first, second = cases['CrossKD']['results']
    for result in (first, second):
        for what in ('log', 'before', 'gradients', 'after', 'ema'):
            assert_equal(result['resumed'][what], result['steps'][2][what], what)
    assert any(key.startswith('methods.0.adapter') for key in first['resumed']['after'])


@pytest.mark.slow
def test_all_processes_have_the_same_history_student(cases):
    """Saved by the first of them, and read by both."""
    first, second = cases['DCKD']['results']
    for result in (first, second):
        for what in ('log', 'before', 'gradients', 'after', 'ema'):
            assert_equal(result['resumed'][what], result['steps'][2][what], what)
    one, other = (result['methods']['DCKD'] for result in (first, second))
    assert one['updated'] == other['updated'] == 3
    assert_equal(one['history'], other['history'], 'history student')
    # After updates at each step it is near to the average, and not the student of the start.
    start = first['steps'][0]['before']
    assert any((one['history'][name] != start[name]).any() for name in start)


@pytest.mark.slow
def test_a_parameter_that_a_process_does_not_use_counts_as_zeros(cases, folder):
    for rank in (0, 1):
        gradients = torch.load(folder / f'uneven.{rank}.pt', weights_only=True)
        assert [gradient.tolist() for gradient in gradients] == [[1.5, 1.5], [0.5, 0.5], [0.0, 0.0]]


def command(action, options, *arguments, cwd, **kwargs):
    return torchrun(
        '-m',
        'mtkd_basicsr',
        action,
        '-opt',
        options,
        '--launcher',
        'pytorch',
        *arguments,
        cwd=cwd,
        **kwargs,
    )


@pytest.mark.slow
def test_both_stages_a_stop_and_testing(make_options, tmp_path):
    fusion = make_options('MTKDFusionModel', name='stage_1', num_gpu='auto', val=None)
    printed = command('train', write_options(tmp_path / 'fusion.yml', fusion), cwd=tmp_path)
    assert 'Network: DistributedDataParallel - DCTSwin' in printed
    assert 'World size (gpu number): 2' in printed
    weights = 'experiments/stage_1/models/net_g_latest.pth'
    assert torch.load(tmp_path / weights, weights_only=True)['mtkd']['teachers'] == [
        'swinir',
        'edsr',
        'rcan',
    ]

    # A student with an adapter, which runs twice in each step.
    opt = make_options(
        'MTKDModel',
        name='stage_2',
        fusion__weights=weights,
        network_g=tiny('SwinIR', 2, embed_dim=12),
    )
    opt['train']['kd'] = {'type': 'MTKD', 'also': [{'type': 'CrossKD', 'teacher': 'rcan'}, 'DUKD']}
    options = write_options(tmp_path / 'mtkd.yml', opt)
    experiment = tmp_path / 'experiments' / 'stage_2'
    printed = command('train', options, cwd=tmp_path)
    assert 'Method: MTKD + CrossKD + DUKD' in printed
    assert len(re.findall(r'iter: +2,.* l_cross: .* l_zoom_in: ', printed)) == 1, (
        'the first process alone reports'
    )
    printed = command(
        'train', options, '--auto_resume', '--force_yml', 'train:total_iter=4', cwd=tmp_path
    )
    assert 'Resuming training from epoch: 0, iter: 2.' in printed
    assert re.search(r'iter: +4,.* l_cross: ', printed)
    before, after = (
        torch.load(experiment / 'training_states' / f'{i}.state', weights_only=True)['adapters']
        for i in (2, 4)
    )
    assert before.keys() == after.keys()
    assert all((before[key] != after[key]).any() for key in before)
    psnr = re.findall(r'# psnr: ([\d.]+)', printed)
    assert len(psnr) == 1, 'after iteration 4, which is the end'
    assert sorted(p.name for p in experiment.parent.iterdir()) == ['stage_1', 'stage_2'], (
        'nothing was moved aside'
    )
    assert len(list(experiment.glob('train_*.log'))) == 2

    opt['path'].update(
        pretrain_network_g='experiments/stage_2/models/net_g_latest.pth', param_key_g='params_ema'
    )
    opt['datasets'] = {'test': opt['datasets']['val']}
    printed = command('test', write_options(tmp_path / 'test.yml', opt), cwd=tmp_path)
    assert re.findall(r'# psnr: ([\d.]+)', printed) == psnr[-1:]


def test_workers_that_are_spawned_import_this_package(monkeypatch):
    # As they start: from the name of the main module, which they leave out if it is called
    # __main__.
    seen = []
    monkeypatch.setattr(
        cli,
        'main',
        lambda: seen.append(spawn.get_preparation_data('worker')['init_main_from_name']),
    )
    with pytest.raises(SystemExit):
        runpy.run_module('mtkd_basicsr', run_name='__main__', alter_sys=True)
    assert seen == ['mtkd_basicsr.commands.cli']


@pytest.mark.slow
def test_an_error_ends_all_processes_and_is_told_once(make_options, tmp_path):
    # Found by both while they build their networks, after they have met.
    options = write_options(
        tmp_path / 'wrong.yml',
        make_options('MTKDModel', teachers__edsr__network=tiny('EDSR', 2, num_feat=4)),
    )
    printed = command('train', options, cwd=tmp_path, expect=1)
    assert printed.count('mtkd train: ') == 1
    assert printed.count('does not fit EDSR') == 1
    assert 'cli.py' not in printed, 'a traceback of ours; torchrun prints one of its own'


def test_wrong_keys_are_found_before_the_processes_meet(here, make_options, tmp_path, monkeypatch):
    waited = []
    options = write_options(tmp_path / 'wrong.yml', make_options('MTKDModel', val__tile=0))
    monkeypatch.setattr(distributed.time, 'sleep', waited.append)
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '1')
    # the second tells its error only if nobody ends it meanwhile
    for rank, expected in (('0', []), ('1', [5])):
        monkeypatch.setenv('LOCAL_RANK', rank)
        printed = here('train', '-opt', options, '--launcher', 'pytorch', expect=1)
        assert 'mtkd train: val.tile: 0; expected' in printed
        assert waited == expected
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, (
        'a handler would not run while a process waits for another'
    )
    assert not (tmp_path / 'experiments').exists()


@pytest.mark.slow
def test_the_older_launcher_puts_its_argument_before_the_command(make_options, tmp_path):
    options = write_options(
        tmp_path / 'train.yml', make_options('KDModel', name='old', train__kd={'type': 'Scratch'})
    )
    command = [sys.executable, '-m', 'torch.distributed.launch', '--nproc_per_node=2']
    command += ['-m', 'mtkd_basicsr', 'train', '-opt', options]
    printed = run([*command, '--launcher', 'pytorch'], tmp_path, CUDA_VISIBLE_DEVICES='')
    assert 'Network: DistributedDataParallel - EDSR' in printed
    assert 'Save the latest model.' in printed
    assert len(list((tmp_path / 'experiments').iterdir())) == 1


@pytest.mark.parametrize('name', ['--local-rank', '--local_rank'])
def test_the_rank_stands_before_or_behind_the_command(name, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '3')
    parser, _ = cli.build_parsers()

    def rank(*arguments):
        return parser.parse_args(arguments).local_rank

    for command in ('train', 'test'):
        assert rank(f'{name}=1', command, '-opt', 'x.yml') == 1
        assert rank(command, '-opt', 'x.yml', f'{name}=2') == 2
        assert rank(f'{name}=1', command, '-opt', 'x.yml', name, '2') == 2
        assert rank(command, '-opt', 'x.yml') == 3
    assert rank(f'{name}=1', 'cache', '-opt', 'x.yml') == 1


LAUNCHED = {'RANK': '0', 'WORLD_SIZE': '2', 'MASTER_ADDR': 'localhost', 'MASTER_PORT': '29500'}


@pytest.mark.parametrize(
    ('launcher', 'environment', 'text'),
    [
        ('none', {}, None),
        ('none', {'WORLD_SIZE': '2'}, None),  # of something else
        ('none', {**LAUNCHED, 'TORCHELASTIC_RUN_ID': 'x', 'WORLD_SIZE': '1'}, None),
        ('pytorch', LAUNCHED, None),
        ('none', {**LAUNCHED, 'TORCHELASTIC_RUN_ID': 'x'}, 'has started 2 processes; expected pyt'),
        ('pytorch', {}, 'no launcher has set RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT; start'),
        ('pytorch', {**LAUNCHED, 'RANK': None}, 'no launcher has set RANK; start with: torchrun '),
        ('slurm', {}, 'no launcher has set SLURM_PROCID, SLURM_NTASKS, SLURM_NODELIST; start with'),
    ],
)
def test_the_launcher_is_the_one_that_started_the_process(launcher, environment, text, monkeypatch):
    for name in (*LAUNCHED, 'TORCHELASTIC_RUN_ID', 'SLURM_PROCID', 'SLURM_NTASKS'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    if text is None:
        check_launched(launcher)
        return
    with pytest.raises(OptionError, match=re.escape(text)):
        check_launched(launcher)


@pytest.mark.parametrize('command', ['train', 'test'])
def test_a_launcher_that_did_not_start_is_found_at_once(command, here, tmp_path, monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'options.yml').write_text('name: x\n')
    printed = here(command, '-opt', 'options.yml', '--launcher', 'pytorch', expect=1)
    assert printed.startswith(f'mtkd {command}: --launcher pytorch: no launcher has set RANK')


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_basicsr_is_told_so_too(launcher, monkeypatch):
    for name in (*LAUNCHED, 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dist_util.mp, 'get_start_method', lambda allow_none: 'spawn')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    for name in ('pytorch', 'slurm'):
        name = f'_init_dist_{name}'
        monkeypatch.setattr(dist_util, name, lambda *_, **__: pytest.fail('it would start'))
    patches.apply()
    patches.apply()
    with pytest.raises(OptionError, match=f'--launcher {launcher}: no launcher has set'):
        dist_util.init_dist(launcher)


def test_slurm_without_a_gpu_is_refused(here, make_options, tmp_path, monkeypatch):
    # not for all tests that come later
    monkeypatch.setattr(dist_util.mp, 'get_start_method', lambda allow_none: 'spawn')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(dist_util, '_init_dist_slurm', None)
    patches.apply()
    options = write_options(tmp_path / 'train.yml', make_options('MTKDModel'))
    printed = here('train', '-opt', options, '--launcher', 'slurm', expect=1)
    assert (
        'mtkd train: --launcher slurm: torch finds no CUDA device; on CPUs start with torchrun'
        in printed
    )


def test_cpus_beside_gpus_are_refused(make_options, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, 'get_backend', lambda: 'nccl')
    opt = parsed(make_options('MTKDModel'), True, tmp_path)
    with pytest.raises(
        OptionError, match='num_gpu: 0, but each of several processes has a GPU here; use auto'
    ):
        model_of(opt, dist=True, world_size=2)


@pytest.mark.slow
@pytest.mark.gpu
def test_one_process_for_each_gpu(make_options, tmp_path):
    options = write_options(
        tmp_path / 'train.yml', make_options('MTKDModel', name='gpus', num_gpu='auto')
    )
    visible = ','.join(str(i) for i in range(torch.cuda.device_count()))
    printed = command(
        'train',
        options,
        cwd=tmp_path,
        processes=torch.cuda.device_count(),
        CUDA_VISIBLE_DEVICES=visible,
    )
    assert 'Network: DistributedDataParallel - EDSR' in printed
    assert 'Save the latest model.' in printed
