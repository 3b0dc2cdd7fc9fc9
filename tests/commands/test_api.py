"""The commands as functions: called from a script, with what the command line can say, and no
more."""

import argparse
import ast
import inspect
import json
import re
import sys
from importlib import import_module

import cv2
import pytest
import torch
from conftest import ROOT, mtkd, options_for, run, tiny, with_cache, write_options, write_weights

from mtkd_basicsr import commands
from mtkd_basicsr.commands._option_files import OptionFile, parse_like_basicsr
from mtkd_basicsr.commands._table import COMMANDS
from mtkd_basicsr.commands._validation import option_of, spelled, spelled_as_options
from mtkd_basicsr.errors import MTKDError, OptionError
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.atomic import is_temporary_of, replacing

PAGE = (ROOT / 'docs' / 'python_api.md').read_text()
# Commands whose function has another name; `mtkd options` has two.
FUNCTIONS = {'data': ('prepare_data',), 'options': ('write_options', 'option_reference')}
# Keywords that the command line calls otherwise than `option_of` does, or has not.
SPELLED = {
    'steps': '--no-steps',
    'folder': 'folder',
    'images': 'images',
}
NO_ARGUMENT = {('train', 'root'), ('test', 'root')}
NO_KEYWORD = {('options', '--reference')}  # a function of its own


def script(folder, code, expect=0, **environment):
    """Runs a script in a new process, which imports what the code imports."""
    (folder / 'script.py').write_text(code, encoding='utf-8')
    return run([sys.executable, 'script.py'], folder, expect, **environment)


def functions_of(command):
    return [getattr(commands, name) for name in FUNCTIONS.get(command, (command,))]


def parser_of(command):
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    return parser


def test_every_command_is_a_function_and_every_function_a_command():
    names = {function.__name__ for command in COMMANDS for function in functions_of(command)}
    assert names == set(commands.__all__)
    rows = re.findall(r'^\| `(\w+)\(.*?\)` \| `mtkd (\w+)', PAGE, re.MULTILINE)
    assert {name for name, _ in rows} == names
    assert {command for _, command in rows} == set(COMMANDS)
    for name, command in rows:
        assert getattr(commands, name) in functions_of(command)


@pytest.mark.parametrize('command', COMMANDS)
def test_every_argument_has_a_keyword_and_every_keyword_an_argument(command):
    arguments = {}
    for action in parser_of(command)._actions:
        for option in action.option_strings or [action.dest]:
            arguments[option] = action
    missing = set(arguments.values())
    for function in functions_of(command):
        for keyword in inspect.signature(function).parameters:
            if (command, keyword) in NO_ARGUMENT:
                continue
            option = SPELLED.get(keyword, option_of(keyword))
            assert option in arguments, f'{function.__name__}({keyword}=…)'
            missing.discard(arguments[option])
    left = {(command, action.option_strings[-1]) for action in missing} - {(command, '--help')}
    assert left == {pair for pair in NO_KEYWORD if pair[0] == command}


@pytest.mark.parametrize('command', COMMANDS)
def test_what_is_left_out_is_the_same_in_both(command):
    defaults = {}
    for action in parser_of(command)._actions:
        for option in action.option_strings or [action.dest]:
            defaults[option] = action.default
    for function in functions_of(command):
        for keyword, parameter in inspect.signature(function).parameters.items():
            if parameter.default is parameter.empty or (command, keyword) in NO_ARGUMENT:
                continue
            given = defaults[SPELLED.get(keyword, option_of(keyword))]
            if given == argparse.SUPPRESS:  # it may stand before the command, which has the default
                assert keyword == 'local_rank'
            elif keyword == 'steps':
                assert parameter.default is not given
            elif keyword == 'workers' and command == 'data':
                assert parameter.default is None  # as many as there are cores
            elif keyword == 'overrides':
                assert (given, parameter.default) == (None, ())
            elif isinstance(parameter.default, tuple):
                assert tuple(given) == parameter.default
            else:
                assert given == parameter.default, keyword


@pytest.mark.parametrize(
    'name',
    ['train', 'test', 'cache', 'check', 'compare', 'demo', 'distill', 'export', 'upscale', 'data'],
)
def test_the_command_line_hands_everything_on(name, monkeypatch):
    words = {
        'train': '-opt f --launcher pytorch --auto_resume --debug --local_rank 3 --safe '
        '--force_yml a=1 b=2',
        'test': '-opt f --launcher slurm --auto_resume --debug --local_rank 3 --safe '
        '--force_yml a=1 b=2',
        'cache': '-opt f --what teachers --self-ensemble --tile 64 --tile-overlap 8 --device cpu '
        '--precision bf16 --workers 3 --overwrite --verify --from c --safe '
        '--force_yml a=1 b=2',
        'check': '-opt f --no-steps --all-images --safe --force_yml a=1 b=2',
        'compare': '-opt f --out o --jobs 2 --safe --only r',
        'demo': '--out o --quick',
        'distill': 'a --out o --student span --scale 2 --teachers t --hours 3 --validation 4',
        'export': '--weights w --format safetensors -opt f --out o --half --overwrite --safe',
        'upscale': 'a b --weights w -opt f --out o --format jpg --tile 64 --tile-overlap 8 '
        '--device cpu --safe',
        'data': 'a --out o --scale 3 5 --multiple 30 --sub-image 60 --step 30 --validation 2 '
        '--workers 3 '
        '--verify Set5',
    }[name]
    function = functions_of(name)[0]
    calls = []

    def caught(*args, **keywords):
        calls.append(inspect.signature(function).bind(*args, **keywords).arguments)
        raise SystemExit

    cli = COMMANDS[name]
    monkeypatch.setattr(cli, function.__name__, caught)
    with pytest.raises(SystemExit):
        cli.run(parser_of(name).parse_args(words.split()))
    (given,) = calls
    parameters = inspect.signature(function).parameters
    # Of those that exclude each other one is there, or none.
    same = {
        'compare': {'report_only', 'list_commands'},
        'upscale': {'overwrite', 'skip_existing'},
    }.get(name, set())
    for keyword, parameter in parameters.items():
        if (name, keyword) in NO_ARGUMENT or keyword in same:
            continue
        assert given[keyword] != parameter.default, keyword


@pytest.mark.parametrize('words', [['--report-only'], ['--list']])
def test_compare_hands_on_what_excludes_each_other(words, monkeypatch, tmp_path):
    report = tmp_path / 'report.md'
    report.write_text('the report')
    calls = []
    cli = COMMANDS['compare']
    monkeypatch.setattr(cli, 'compare', lambda *_, **given: calls.append(given) or [report])
    cli.run(parser_of('compare').parse_args(['-opt', 'f', *words]))
    assert calls[0]['report_only'] is (words == ['--report-only'])
    assert calls[0]['list_commands'] is (words == ['--list'])


@pytest.mark.parametrize('keyword', ['overwrite', 'skip_existing'])
def test_upscale_hands_on_what_excludes_each_other(keyword, monkeypatch):
    calls = []
    cli = COMMANDS['upscale']
    monkeypatch.setattr(cli, 'upscale', lambda *_, **given: calls.append(given))
    cli.run(parser_of('upscale').parse_args(['a', '--weights', 'w', option_of(keyword)]))
    for other in ('overwrite', 'skip_existing'):
        assert calls[0][other] is (other == keyword)


@pytest.mark.parametrize('name', commands.__all__)
def test_functions_are_documented_typed_and_no_stubs(name):
    function = getattr(commands, name)
    parameters = inspect.signature(function).parameters
    tree = ast.parse(inspect.getsource(function)).body[0]
    assert len(tree.body) > 1, 'a docstring alone'
    assert not any(isinstance(node, ast.Pass) for node in ast.walk(tree))
    assert tree.returns is not None
    text = inspect.getdoc(function)
    if not parameters:
        return
    described = text.split('\nArgs:\n')[1].split('\nReturns:\n')
    for keyword, parameter in parameters.items():
        assert parameter.annotation is not parameter.empty
        assert re.search(rf'^    {keyword}: \S', described[0], re.MULTILINE), keyword
    assert '\nRaises:\n' in described[1]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(parameters) <= used, 'a keyword that nothing reads'


WRONG = [
    ('train', {'options_file': 'none.yml'}, "options_file: no file 'none.yml'"),
    ('train', {'options_file': 3}, 'options_file: 3; expected a path'),
    ('train', {'launcher': 'mpi'}, "launcher: 'mpi'; known: none, pytorch, slurm"),
    ('train', {'local_rank': 'first'}, "local_rank: 'first'; expected a whole number"),
    ('train', {'auto_resume': 'no'}, "auto_resume: 'no'; expected True or False"),
    ('train', {'overrides': 'scale=2'}, "overrides: 'scale=2'; expected a mapping such as"),
    ('train', {'overrides': [('scale', 2)]}, 'expected a mapping such as'),
    ('train', {'root': 7}, 'root: 7; expected a path'),
    ('test', {'debug': 1}, 'debug: 1; expected True or False'),
    ('test', {'launcher': None}, 'launcher: None; known: none, pytorch, slurm'),
    ('check', {'steps': 0}, 'steps: 0; expected True or False'),
    ('check', {'all_images': 1}, 'all_images: 1; expected True or False'),
    ('check', {'safe': None}, 'safe: None; expected True or False'),
    ('cache', {'contents': 'targets'}, r"contents: 'targets'; .*did you mean 'target'\?"),
    ('cache', {'precision': 'bf-16'}, r"precision: 'bf-16'; .*did you mean 'bf16'\?"),
    ('cache', {'tile': 0}, 'tile: 0; expected a whole number from 1 on'),
    ('cache', {'tile': 6.5}, 'tile: 6.5; expected a whole number from 1 on'),
    (
        'cache',
        {'tile': 8},
        'tile_overlap: 32; expected a whole number from 0 on, less than tile .8.',
    ),
    ('cache', {'tile_overlap': -1}, 'tile_overlap: -1; expected a whole number from 0 on'),
    ('cache', {'workers': -1}, 'workers: -1; expected a whole number from 0 on'),
    ('cache', {'workers': True}, 'workers: True; expected a whole number from 0 on'),
    ('cache', {'device': 1}, 'device: 1; expected a string'),
    ('compare', {'jobs': 0}, 'jobs: 0; expected 1 or more'),
    ('compare', {'jobs': 'all'}, "jobs: 'all'; expected a whole number"),
    ('compare', {'only': 3}, 'only: 3; expected the name of a run'),
    (
        'compare',
        {'only': 'a', 'list_commands': True},
        'list_commands: not allowed with only; expected at most one of report_only, '
        'list_commands, only',
    ),
    ('demo', {'quick': 'yes'}, "quick: 'yes'; expected True or False"),
    ('distill', {'folder': 'a', 'out': 'b', 'student': 'vdsr'}, "student: 'vdsr'; "),
    ('distill', {'folder': 'a', 'out': 'b', 'scale': 5}, 'scale: 5; '),
    ('distill', {'folder': 3, 'out': 'b'}, 'folder: 3; expected a path'),
    ('export', {'format': 'onix'}, r"format: 'onix'; .*did you mean 'onnx'\?"),
    (
        'export',
        {'format': 'torchscript', 'half': True},
        'half: format torchscript; expected onnx, safetensors or pth',
    ),
    ('export', {'format': 'onnx', 'options_file': 'no.yml'}, "options_file: no file 'no.yml'"),
    ('export', {'format': 'safetensors'}, r'weights: missing; .* \(options_file\)'),
    ('upscale', {'images': 'a.png', 'weights': 'w'}, "images: 'a.png'; expected a list of files"),
    ('upscale', {'images': [], 'weights': 'w'}, r'images: \[\]; expected a list of files'),
    ('upscale', {'images': ['a'], 'weights': 3}, 'weights: 3; expected a path'),
    (
        'upscale',
        {'images': ['a'], 'options_file': 'a.yml'},
        "weights: missing; expected the weights for the network of options_file 'a.yml'",
    ),
    (
        'upscale',
        {'images': ['a'], 'weights': 'w', 'format': 'tiff'},
        "format: 'tiff'; known: png, jpg, webp",
    ),
    (
        'upscale',
        {'images': ['a'], 'weights': 'w', 'overwrite': True, 'skip_existing': True},
        'overwrite: not allowed with skip_existing; expected at most one of them',
    ),
    (
        'upscale',
        {'images': ['a'], 'weights': 'w', 'skip_existing': 1},
        'skip_existing: 1; expected True or False',
    ),
    ('prepare_data', {'scales': [2, 2]}, 'scales: 2 2; expected different numbers from 2 on'),
    ('prepare_data', {'scales': ['2']}, "scales: '2'; expected a whole number"),
    ('prepare_data', {'scales': []}, r'scales: \[\]; expected a list of whole numbers'),
    ('prepare_data', {'multiple': 0}, 'multiple: 0; expected a whole number from 1 on'),
    ('prepare_data', {'multiple': 5}, 'multiple: 5; expected a multiple of all of scales'),
    ('prepare_data', {'sub_image': 5}, 'sub_image 5 step 2; expected multiples of 12'),
    ('prepare_data', {'verify': 'Set6'}, r"verify: 'Set6'; .*did you mean 'Set5'\?"),
    ('prepare_data', {'verify': 'Set5', 'sub_image': 24}, 'verify: not allowed with sub_image'),
    ('prepare_data', {'validation': -1}, 'validation: -1; expected a whole number from 0 on'),
    (
        'prepare_data',
        {'verify': 'Set5', 'validation': 1},
        'verify: not allowed with validation',
    ),
    ('prepare_data', {'workers': 1.5}, 'workers: 1.5; expected a whole number'),
    ('write_options', {'students': ['rcna']}, r"students: 'rcna'; .*did you mean 'rcan'\?"),
    ('write_options', {'scales': [5]}, 'scales: 5; known: 2, 3, 4'),
    ('write_options', {'methods': 'mtkd'}, "methods: 'mtkd'; expected a list of some of mtkd, "),
    ('write_options', {'out': None}, 'out: None; expected a path'),
    ('write_options', {'data': 'photos'}, 'data: allowed only with reference_teachers'),
    ('write_options', {'reference_teachers': 1}, 'reference_teachers: 1; expected True or False'),
    ('write_options', {'overwrite': 'no'}, "overwrite: 'no'; expected True or False"),
    (
        'write_options',
        {'reference_teachers': True, 'data': '{out}/x'},
        "data: '{out}/x'; expected a path without braces",
    ),
    (
        'write_options',
        {'reference_teachers': True, 'scales': [2]},
        'reference_teachers: not allowed with scales; its files are for one student and one scale',
    ),
]
GIVEN = {
    'train': {'options_file': __file__},
    'test': {'options_file': __file__},
    'check': {'options_file': __file__},
    'cache': {'options_file': __file__},
    'compare': {'plan_file': __file__},
    'prepare_data': {'folder': 'photographs', 'out': 'data'},
    'write_options': {'out': 'mine'},
}


@pytest.mark.parametrize(('name', 'arguments', 'text'), WRONG)
def test_wrong_arguments_are_refused(name, arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=text):
        getattr(commands, name)(**{**GIVEN.get(name, {}), **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('command', 'words', 'name', 'arguments'),
    [
        ('train', '-opt x --launcher mpi', 'train', {'launcher': 'mpi'}),
        ('train', '-opt x --local_rank a', 'train', {'local_rank': 'a'}),
        ('cache', '-opt x --what all', 'cache', {'contents': 'all'}),
        ('cache', '-opt x --tile 0', 'cache', {'tile': 0}),
        ('cache', '-opt x --tile-overlap 1.5', 'cache', {'tile_overlap': 1.5}),
        ('cache', '-opt x --precision fp16', 'cache', {'precision': 'fp16'}),
        ('cache', '-opt x --workers -1', 'cache', {'workers': -1}),
        ('compare', '-opt x --jobs two', 'compare', {'jobs': 'two'}),
        ('compare', '-opt x --list --only a', 'compare', {'list_commands': True, 'only': 'a'}),
        ('data', 'a --out b --scale x', 'prepare_data', {'scales': ['x']}),
        ('data', 'a --out b --multiple 0', 'prepare_data', {'multiple': 0}),
        ('data', 'a --out b --sub-image -1', 'prepare_data', {'sub_image': -1}),
        ('data', 'a --out b --step -1', 'prepare_data', {'step': -1}),
        ('data', 'a --out b --validation -1', 'prepare_data', {'validation': -1}),
        ('data', 'a --out b --workers x', 'prepare_data', {'workers': 'x'}),
        ('data', 'a --out b --verify Set6', 'prepare_data', {'verify': 'Set6'}),
        ('options', '--out a --student x', 'write_options', {'students': ['x']}),
        ('options', '--out a --scale 5', 'write_options', {'scales': [5]}),
        ('options', '--out a --method x', 'write_options', {'methods': ['x']}),
        ('upscale', 'a --weights w --tile x', 'upscale', {'tile': 'x'}),
        ('upscale', '--weights w', 'upscale', {'images': []}),
        ('upscale', 'a --weights w --format gif', 'upscale', {'format': 'gif'}),
        (
            'upscale',
            'a --weights w --overwrite --skip-existing',
            'upscale',
            {'overwrite': True, 'skip_existing': True},
        ),
        ('export', '--format x', 'export', {'format': 'x'}),
    ],
)
def test_what_argparse_refuses_the_function_refuses(
    command, words, name, arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        parser_of(command).parse_args(words.split())
    assert stop.value.code == 2
    given = {'upscale': {'images': ['a'], 'weights': 'w'}, **GIVEN}.get(name, {})
    keyword = next(iter(arguments))
    with pytest.raises(OptionError, match=rf'^{keyword}: '):
        getattr(commands, name)(**{**given, **arguments})


def test_every_choice_of_argparse_is_covered():
    """Choices that a parser has and a function would take anything for."""
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            if action.choices is None:
                continue
            (keyword,) = {
                keyword
                for function in functions_of(command)
                for keyword in inspect.signature(function).parameters
                if option_of(keyword) in action.option_strings
            }
            assert any(
                keyword in arguments and functions_of(command)[0].__name__ == name
                for name, arguments, _ in WRONG
            ), f'{command}: {keyword}'


def test_errors_name_arguments_as_the_caller_does():
    assert spelled('tile_overlap') == 'tile_overlap'
    with spelled_as_options():
        assert spelled('tile_overlap') == '--tile-overlap'
        assert spelled('options_file') == '-opt'
    assert spelled('contents') == 'contents'


def overridden(tmp_path, make_options, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    path = write_options(tmp_path / 'train.yml', make_options('KDModel'))
    return parse_like_basicsr('train', OptionFile.of(path, overrides, False))


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('train:total_iter', 7),
        ('train:warmup_iter', -1),
        ('train:optim_g:lr', 1e-4),
        ('train:optim_g:lr', 2.0),
        ('train:ema_decay', 0.5),
        ('val:save_img', True),
        ('logger:use_tb_logger', False),
        ('path:pretrain_network_g', None),
        ('train:scheduler:milestones', [3, 5]),
        ('train:optim_g:betas', [0.5, 0.9]),
        ('name', 'another name'),
    ],
)
def test_a_mapping_overrides_what_is_in_the_file(key, value, make_options, tmp_path, monkeypatch):
    found = overridden(tmp_path, make_options, monkeypatch, {key: value})
    for part in key.split(':'):
        found = found[part]
    assert found == value
    assert isinstance(found, type(value))


def test_paths_and_tuples_override_too(make_options, tmp_path, monkeypatch):
    overrides = {
        'path:pretrain_network_g': tmp_path / 'net.pth',
        'train:scheduler:milestones': (3, 5),
    }
    opt = overridden(tmp_path, make_options, monkeypatch, overrides)
    assert opt['path']['pretrain_network_g'] == str(tmp_path / 'net.pth')
    assert opt['train']['scheduler']['milestones'] == [3, 5]


@pytest.mark.parametrize('value', ['7', 'true', '~', 'a=b', ' a', '!!float1', '[1]', {'a': 1}])
def test_what_basicsr_would_read_otherwise_is_refused(value, make_options, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"^overrides: 'name': .* expected a text, a number, "):
        overridden(tmp_path, make_options, monkeypatch, {'name': value})


def page_scripts():
    blocks = re.findall(r'(?ms)^```python\n(.*?)^```', PAGE)
    assert len(blocks) == 4
    return blocks


def test_the_first_example_of_the_page(photographs, tmp_path):
    opt = with_cache(options_for(photographs, tmp_path, 'MTKDModel', 4, name='x'), 'mine.lmdb')
    # Teachers that are trained: of others `check` says that they are worse than none.
    trained = read_options(ROOT / 'options' / 'demo' / 'mtkd.yml')['teachers']
    opt['teachers'] = json.loads(json.dumps(trained))  # plain mappings, in their order
    write_options(tmp_path / 'mtkd.yml', opt, header='')
    (tmp_path / 'photo.png').write_bytes((photographs / 'val' / 'LRx4' / 'coffee.png').read_bytes())
    printed = script(tmp_path, page_scripts()[0])
    assert 'ok datasets.train: 3 pairs' in printed
    assert (tmp_path / 'mine.lmdb').is_dir()
    assert 'no teacher is needed' in printed, 'the cache was used'
    models = tmp_path / 'experiments' / 'mine' / 'models'
    assert (models / 'net_g_latest.pth').is_file()
    assert (models / 'net_g_latest.safetensors').is_file()
    large = cv2.imread(str(tmp_path / 'large' / 'photo_x4.png'))
    assert large.shape == (60, 84, 3)
    assert "[PosixPath('large/photo_x4.png')]" in printed or 'WindowsPath' in printed


def test_the_second_example_of_the_page(photographs, tmp_path):
    (tmp_path / 'photographs').mkdir()
    for path in (photographs / 'train' / 'GT').iterdir():
        (tmp_path / 'photographs' / path.name).write_bytes(path.read_bytes())
    printed = script(tmp_path, page_scripts()[1])
    assert (tmp_path / 'data' / 'GTmod4' / 'rocket.png').is_file()
    assert (tmp_path / 'data' / 'LRbicx4' / 'rocket.png').is_file()
    assert 'GTmod4' in printed
    assert (tmp_path / 'mine' / 'baselines' / 'dukd_rcan_x4.yml').is_file()
    assert printed.splitlines()[-1] in (ROOT / 'docs' / 'options.md').read_text()


def test_the_third_example_of_the_page(tmp_path):
    (tmp_path / 'mtkd.yml').write_text('name: x\n')
    expected = re.search(r'(?ms)^```text\n(.*?)^```', PAGE)[1]
    assert script(tmp_path, page_scripts()[2]) == expected


@pytest.mark.slow
def test_the_example_of_an_exported_file(here, photographs, tmp_path):
    here('export', '--weights', 'reference:edsr_x4', '--out', tmp_path / 'student.onnx')
    photo = photographs / 'val' / 'LRx4' / 'coffee.png'
    (tmp_path / 'photo.png').write_bytes(photo.read_bytes())
    example = page_scripts()[3]
    assert len([line for line in example.splitlines() if line and 'import' not in line]) <= 5
    script(tmp_path, example)
    here('upscale', photo, '--weights', 'reference:edsr_x4', '--out', tmp_path / 'ours')
    expected = cv2.imread(str(tmp_path / 'ours' / 'coffee_x4.png')).astype(int)
    found = cv2.imread(str(tmp_path / 'large.png')).astype(int)
    assert found.shape == expected.shape
    assert abs(found - expected).max() <= 1


SCRIPT = """
import json
import logging
import os
from mtkd_basicsr.commands import check, test, train

os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'
if __name__ == '__main__':
    folders = [
        train('train.yml', root='elsewhere', overrides=['train:total_iter=3'], auto_resume=resume)
        for resume in (False, True)
    ]
    folders.append(train('train.yml', root='elsewhere', debug=True))
    folders.append(test('test.yml', root='elsewhere', safe=True))
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ
    found = check('wrong.yml', steps=False)
    with open('found.json', 'w', encoding='utf-8') as file:
        errors = [finding.text for finding in found if finding.level == 'ERROR']
        json.dump([[str(folder) for folder in folders], errors, found.failed], file)
"""


def test_trainings_and_tests_follow_each_other_in_one_script(make_options, tmp_path):
    opt = make_options('KDModel', name='api', train__kd={'type': 'Scratch'})
    write_options(tmp_path / 'train.yml', opt)
    write_options(tmp_path / 'wrong.yml', {**opt, 'network_g': {'type': 'EDRS'}})
    weights = tmp_path / 'elsewhere' / 'experiments' / 'api' / 'models' / 'net_g_latest.pth'
    opt['path']['pretrain_network_g'] = str(weights)
    opt['datasets'] = {'test': opt['datasets']['val']}
    write_options(tmp_path / 'test.yml', opt)
    printed = script(tmp_path, SCRIPT)
    folders, errors, failed = json.loads((tmp_path / 'found.json').read_text())
    root = tmp_path / 'elsewhere'
    assert folders == [
        str(root / 'experiments' / 'api'),
        str(root / 'experiments' / 'api'),
        str(root / 'experiments' / 'debug_api'),
        str(root / 'results' / 'api'),
    ]
    assert 'Resuming training from epoch: 0, iter: 2.' in printed
    assert weights.is_file()
    assert not (tmp_path / 'experiments').exists()
    # Each has a log file of its own, which ends with it.
    logs = {
        folder: [path.read_text() for path in (root / folder).glob('*.log')]
        for folder in ('experiments/api', 'experiments/debug_api', 'results/api')
    }
    assert sum(text.count('End of training') for text in logs['experiments/api']) == 2
    assert sum(text.count('End of training') for text in logs['experiments/debug_api']) == 1
    (test_log,) = logs['results/api']
    assert 'End of training' not in test_log
    assert '# psnr: ' in test_log
    assert failed
    assert any('EDSR' in text and 'EDRS' in text for text in errors)


def test_the_command_line_and_the_function_train_alike(make_options, tmp_path):
    opt = make_options('MTKDModel', name='alike')
    options = write_options(tmp_path / 'train.yml', opt)
    for name in ('cli', 'api'):
        (tmp_path / name).mkdir()
    mtkd('train', '-opt', options, '--force_yml', 'train:total_iter=3', cwd=tmp_path / 'cli')
    script(
        tmp_path / 'api',
        'from mtkd_basicsr.commands import train\n'
        f"train({options!r}, overrides={{'train:total_iter': 3}})\n",
    )
    copies, states = [], []
    for name in ('cli', 'api'):
        folder = tmp_path / name / 'experiments' / 'alike'
        lines = (folder / 'train.yml').read_text().splitlines()
        copies.append([line for line in lines if not line.startswith('# GENERATE TIME')])
        states.append(torch.load(folder / 'models' / 'net_g_latest.pth', weights_only=True))
    assert copies[0] == copies[1]
    assert any('# mtkd train' in line for line in copies[0])
    for key in ('params', 'params_ema'):
        for parameter, value in states[0][key].items():
            assert torch.equal(value, states[1][key][parameter])


def test_a_script_sees_the_error_by_its_keyword(tmp_path):
    printed = script(
        tmp_path,
        'from mtkd_basicsr.commands import train\ntrain("none.yml")\n',
        expect=1,
    )
    assert "OptionError: options_file: no file 'none.yml'" in printed


def test_functions_stay_functions_when_their_folders_are_imported():
    for name in commands.__all__:
        folder = getattr(commands, name).__module__.split('.')[2]
        for module in ('cli', 'api'):
            import_module(f'mtkd_basicsr.commands.{folder}.{module}')
        assert inspect.isfunction(getattr(commands, name))


def test_exported_and_upscaled_files_replace_what_is_there(tmp_path, monkeypatch, photographs):
    monkeypatch.chdir(tmp_path)
    network = tiny('EDSR', 2)
    metadata = {'network': network, 'scale': 2}
    weights = write_weights(tmp_path / 'student.pth', network, mtkd=metadata)
    path = commands.export(weights, format='torchscript', out='student.pt')
    assert path.is_file()
    with pytest.raises(OptionError, match=r"^out: 'student.pt' already exists; .* overwrite$"):
        commands.export(weights, format='torchscript', out='student.pt')
    assert commands.export(weights, format='torchscript', out='student.pt', overwrite=True) == path
    picture = photographs / 'val' / 'LRx2' / 'coffee.png'
    (large,) = commands.upscale([picture], weights=weights, out='large')
    assert cv2.imread(str(large)).shape == (60, 84, 3)
    with pytest.raises(OptionError, match=r'^out: .* already exists; .* overwrite$'):
        commands.upscale([picture], weights=weights, out='large')
    names = sorted(entry.name for entry in tmp_path.rglob('*'))
    assert names == ['coffee_x2.png', 'large', 'student.pt', 'student.pth']


def test_a_temporary_file_is_known_and_goes_after_an_error(tmp_path):
    path = tmp_path / 'net_g_5.pth'
    path.write_text('before')
    names = []
    with pytest.raises(MTKDError), replacing(path) as temporary:  # noqa: PT012
        with open(temporary, 'w', encoding='utf-8') as file:
            file.write('half')
        names += [entry.name for entry in tmp_path.iterdir()]
        raise MTKDError('stopped')
    (name,) = set(names) - {path.name}
    assert is_temporary_of(name, r'net_g_\d+\.pth')
    assert is_temporary_of(name.removeprefix('.'), r'net_g_\d+\.pth'), 'of version 0.1.0'
    assert not is_temporary_of('mine.tmp', r'net_g_\d+\.pth')
    assert path.read_text() == 'before'
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
