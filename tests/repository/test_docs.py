"""The documentation matches the repository: links, paths, commands with their arguments, option
keys, quoted messages.
"""

import ast
import contextlib
import io
import re
import shlex
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import basicsr.utils.registry
import cv2
import pytest
import yaml
from basicsr.utils.options import ordered_yaml
from conftest import ROOT
from torch.distributed.run import get_args_parser as torchrun_arguments

import mtkd_basicsr
from mtkd_basicsr.commands.cli import build_parsers
from mtkd_basicsr.commands.options.key_reference import arguments, described, keys, reference
from mtkd_basicsr.config import PLUGIN_KEYS, TEACHER_KINDS, KDOptions
from mtkd_basicsr.config.plan import Condition, PlanOptions
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.distillers import METHODS
from mtkd_basicsr.distillers.base import FeatureOptions
from mtkd_basicsr.utils.choices import BICUBIC

TOP_PAGES = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')]
PAGES = {path: path.read_text() for path in (*TOP_PAGES, *sorted((ROOT / 'docs').glob('*.md')))}
DOCS = {path.stem: text for path, text in PAGES.items()}
_, COMMANDS = build_parsers()
every_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
# The changelog also names keys of earlier versions.
every_current_page = pytest.mark.parametrize(
    'page', [page for page in PAGES if page.stem != 'CHANGELOG'], ids=lambda page: page.name
)


def anchors(text):
    """Return the anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r'^#+ (.+)$', re.sub(r'(?ms)^```.*?^```', '', text), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def wrong_links(page, text):
    """Yield the targets of relative links without such a file or heading."""
    for target in re.findall(r'\]\((?!https?://)([^)]+)\)', text):
        path, _, anchor = target.partition('#')
        there = (page.parent / path).resolve()
        if not there.exists() or (
            anchor and anchor not in anchors(there.read_text() if path else text)
        ):
            yield target


def wrong_paths(text):
    """Yield paths of the repository that do not exist; ``*`` and ``NAME`` stand for any name."""
    text = re.sub(r'https?://\S+', '', text)
    for path in set(
        re.findall(
            r'(?<![\w/])(?:options|tests|benchmarks|docs|mtkd_basicsr|\.ci)/[\w./*]*[\w/*]', text
        )
    ):
        if not list(ROOT.glob(path.replace('NAME', '*'))):
            yield path


def wrong_module_paths(text):
    """Yield files and folders in inline code that do not exist; ``NAME`` stands for any name."""
    inline, _ = code_of(text)
    for code in inline:
        is_path = re.fullmatch(r'(?:\w+/)+(?:\w+\.py)?', code)
        pattern = code.replace('NAME', '*')
        if is_path and not any(list(root.glob(pattern)) for root in (ROOT, ROOT / 'mtkd_basicsr')):
            yield code


def code_of(text):
    """Return inline code, and the lines of code blocks without a language."""
    blocks = re.findall(r'(?ms)^```(\w*)\n(.*?)^```', text)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    text = re.sub(r'(?ms)^```.*?^```', '', text)
    lines += [line.strip() for line in text.splitlines() if line.startswith('    ')]
    prose = '\n'.join(line for line in text.splitlines() if not line.startswith('    '))
    return [' '.join(span.split()) for span in re.findall(r'`([^`]+)`', prose)], lines


def called(code):
    """Yield name and arguments of every call of ``mtkd`` in a piece of code."""
    for part in re.split(r' && ', code.split('  #')[0]):
        found = re.match(
            r'(?:\w+=\S+ )?(?:(?:torchrun|srun) .*?-m mtkd_basicsr|python -m mtkd_basicsr|mtkd) '
            r'(\w+)(.*)',
            part,
        )
        if found:
            yield found[1], [word for word in shlex.split(found[2].split(' > ')[0]) if word != '…']


def wrong_commands(text):
    """Yield calls with an unknown command or argument, and incomplete ones in code blocks."""
    inline, lines = code_of(text)
    for code in inline + lines:
        for name, words in called(code):
            known = COMMANDS[name]._option_string_actions if name in COMMANDS else {}
            unknown = [word for word in words if word.startswith('-') and word not in known]
            complete = True
            if not unknown and known and code in lines:
                with contextlib.redirect_stderr(io.StringIO()):
                    try:
                        COMMANDS[name].parse_args(['1' if word == 'N' else word for word in words])
                    except SystemExit:
                        complete = False
            if not known or unknown or not complete:
                yield code
    known = {option for command in COMMANDS.values() for option in command._option_string_actions}
    known |= {
        *torchrun_arguments()._option_string_actions,
        '--ntasks-per-node',
        '--gres',
        '--kill-on-bad-exit',  # SLURM's, as the two above
        '--dist',  # of pytest-xdist
        '--shm-size',  # of Docker
    }
    for code in inline + lines:
        script = re.match(r'python (benchmarks/\w+\.py)', code)
        source = (
            (ROOT / script[1]).read_text() + (ROOT / 'benchmarks' / 'timing.py').read_text()
            if script
            else ''
        )
        yield from (
            code
            for option in re.findall(r'(?<![\w-])--[\w-]+', code)
            if option not in known and f"'{option}'" not in source
        )


def flat(block, prefix=''):
    """Yield the dotted paths of all keys in nested mappings."""
    for key, value in block.items():
        yield f'{prefix}{key}'
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{key}.')


def known_keys():
    """Return the dotted paths of all keys: those in the option files, and those we define."""
    known = {
        f'{block}.{f.name}'.lstrip('.')
        for block, classes in PLUGIN_KEYS.items()
        for cls in classes
        for f in fields(cls)
    }
    known |= {
        'teachers.NAME',
        *(f'teachers.NAME.{f.name}' for kind in TEACHER_KINDS for f in fields(kind)),
    }
    known |= {f'train.kd.{f.name}' for method in METHODS.values() for f in fields(method.Options)}
    classes = ('ConvFusion', 'DCTLoss', 'DCTSwin', 'WaveletLoss')
    known |= {
        row[0].strip('`') for name in classes for row in arguments(getattr(mtkd_basicsr, name))
    }
    known |= {f.name for cls in (PlanOptions, Condition) for f in fields(cls)}
    known.add('find_unused_parameters')  # BasicSR's, in no option file of ours
    for path in (ROOT / 'options').rglob('*.yml'):
        known |= set(flat(yaml.load(path.read_text(), Loader=ordered_yaml()[0])))
    return known


def wrong_keys(text, known):
    """Yield unknown option keys in inline code, dotted or as YAML."""
    names = {key.split('.')[-1] for key in known}
    inline, _ = code_of(text)
    for code in inline:
        dotted = re.fullmatch(r'(?:train|val|datasets|teachers|fusion)(?:\.\w+)+', code)
        if dotted and code not in known:
            yield code
        if re.match(r'\{?\w+: ', code) and not re.search(r'[…<]', code):
            for key in re.findall(r'(?:^|[{,] ?)(\w+): ', code):
                if key not in names:
                    yield f'{key} in {code}'


@every_page
def test_links_and_paths_exist(page):
    assert list(wrong_links(page, PAGES[page])) == []
    assert list(wrong_paths(PAGES[page])) == []


@every_page
def test_commands_and_their_arguments_exist(page):
    assert list(wrong_commands(PAGES[page])) == []


@every_current_page
def test_option_keys_exist(page):
    assert list(wrong_keys(PAGES[page], known_keys())) == []


def test_files_and_folders_of_the_package_exist():
    text = DOCS['CONTRIBUTING']
    assert list(wrong_module_paths(text)) == []
    broken = text.replace('`distillers/registry.py`', '`distillers/register.py`')
    assert list(wrong_module_paths(broken)) == ['distillers/register.py']


def test_what_does_not_exist_is_found():
    page = ROOT / 'docs' / 'new.md'
    text = (
        '# One\n[a](gone.md) [b](methods.md#at) [c](methods.md#ta) [d](#one) [e](#two) '
        '`options/gone.yml` `options/*.yml` tests/helpers/distillation.py\n'
        '`mtkd trian` `mtkd cache` `mtkd cache --tiel 3` `--tile` `--tiel` `python '
        'benchmarks/step.py --runz 1`\n\n'
        '    mtkd cache --tile N\n    mtkd data A --out B --verify Set6\n    mtkd data A --out B '
        '--verify Set5   # fine\n\n'
        '`train.amp` `train.apm` `skip: mean` `skpi: mean` `{type: DUKD, wieght: 1}`\n'
    )
    assert list(wrong_links(page, text)) == ['gone.md', 'methods.md#ta', '#two']
    assert list(wrong_paths(text)) == ['options/gone.yml']
    assert list(wrong_commands(text)) == [
        'mtkd trian',
        'mtkd cache --tiel 3',
        'mtkd cache --tile N',
        'mtkd data A --out B --verify Set6',
        'mtkd cache --tiel 3',
        '--tiel',
        'python benchmarks/step.py --runz 1',
    ]
    assert list(wrong_keys(text, known_keys())) == [
        'train.apm',
        'skpi in skpi: mean',
        'wieght in {type: DUKD, wieght: 1}',
    ]


def test_the_checks_see_every_command():
    spans = [code_of(text) for text in PAGES.values()]
    calls = [call for inline, lines in spans for code in inline + lines for call in called(code)]
    assert len(calls) >= 40
    assert {name for name, _ in calls} == set(COMMANDS)


def test_names_in_python_exist():
    names = [name for text in PAGES.values() for name in re.findall(r'mtkd_basicsr\.(\w+)\(', text)]
    assert len(names) >= 2
    assert all(hasattr(mtkd_basicsr, name) for name in names)


def test_the_reference_is_current(capsys):
    assert DOCS['options'] == reference(), 'run mtkd options --reference > docs/options.md'
    from mtkd_basicsr.commands.cli import main

    assert main(['options', '--reference']) == 0
    assert capsys.readouterr().out == reference()
    assert all(
        f'| `{key}` |' in DOCS['options']
        for key in known_keys()
        if key.startswith(('train.kd.', 'val.tile', 'teachers.NAME.'))
    )


def test_a_key_without_a_description_is_an_error():
    @dataclass(frozen=True)
    class Options(KDOptions):
        """Keys of a new method.

        Attributes:
            weight: Of the loss,
                in two lines with ``code`` and ``'quotes'``.
        """

        weight: float = 0.5

    assert keys(Options, KDOptions, 'train.kd.') == [
        (
            '`train.kd.weight`',
            'number',
            '`0.5`',
            'Of the loss, in two lines with `code` and `quotes`.',
        )
    ]
    Options.__doc__ = 'Keys of a new method.'
    with pytest.raises(KeyError, match='weight'):
        keys(Options, KDOptions)
    assert described(
        'One.\n\nArgs:\n    a, b (int): Both.\n\n    c: Not one of them.\n', 'Args'
    ) == {'a': 'Both.', 'b': 'Both.'}


def test_methods_and_their_keys_are_in_the_table():
    rows = {
        line.split('|')[1].strip().strip('`'): line
        for line in DOCS['methods'].splitlines()
        if line.startswith('| `')
    }
    common = {f.name for cls in (KDOptions, FeatureOptions) for f in fields(cls)}
    headings = re.findall(r'^## (.*)', DOCS['methods'], re.MULTILINE)
    for name, method in METHODS.items():
        assert any(name in re.split(r'\W+', heading) for heading in headings), name
        for f in fields(method.Options):
            if f.name not in common:
                default = f.default
                if f.default_factory is not MISSING:
                    default = f.default_factory()
                default = str(default).lower() if isinstance(default, bool) else default
                default = (
                    {10 / 255: '10/255'}.get(default, f'{default:g}')
                    if isinstance(default, float)
                    else default
                )
                assert re.search(rf'`{f.name}(: {re.escape(str(default))})?`', rows[name]), (
                    name,
                    f.name,
                )
                assert default is None or f'`{f.name}: {default}`' in rows[name], (
                    name,
                    f.name,
                    default,
                )


def test_figures_of_bicubic_are_those_that_are_verified():
    for name, (_, figures) in BICUBIC.items():
        assert (
            f'| {name} | ' + ' | '.join(f'{figures[scale]:.2f}' for scale in (2, 3, 4)) + ' |'
            in DOCS['data_and_weights']
        )


def test_the_commands_of_the_data_page_create_the_expected_folders(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, lines = code_of(DOCS['data_and_weights'])
    calls = [line for line in lines if line.startswith('mtkd data')]
    assert len(calls) == 7
    for line in calls:
        name, words = next(called(line))
        folder = tmp_path / words[0]
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(6 if '--validation' in line else 1):
            cv2.imwrite(
                str(folder / f'rocket{i}.png'),
                cv2.resize(load('rocket'), (720, 504) if 'DIV2K' in line else (60, 48)),
            )
        if '--verify' in words:  # the images are not those of the test sets
            words = words[: words.index('--verify')]
        here(name, *words)
    for path in ('mtkd_edsr.yml', 'test/edsr_x4.yml'):
        for block in yaml.load((ROOT / 'options' / path).read_text(), Loader=ordered_yaml()[0])[
            'datasets'
        ].values():
            assert all(
                list(Path(block[key]).glob('*.png')) for key in ('dataroot_gt', 'dataroot_lq')
            ), block
    # The comments name sub-images, as folders and as LMDBs of them.
    text = (ROOT / 'options' / 'mtkd_edsr.yml').read_text()
    others = re.findall(r'# dataroot_\w+: (\S+)', text)
    assert len(others) == 4
    assert all(list(Path(other.removesuffix('.lmdb')).glob('*_s001.png')) for other in others)


def test_messages_are_those_of_the_code():
    sources = [*(ROOT / 'mtkd_basicsr').rglob('*.py'), Path(basicsr.utils.registry.__file__)]
    code = '\n'.join(
        node.value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    pages = DOCS['troubleshooting'], DOCS['data_and_weights'].split('| it says |')[1]
    messages, quoted = (re.findall(r'^\| `([^`]+)` \|', page, re.MULTILINE) for page in pages)
    assert len(messages) >= 8
    assert len(quoted) == 3
    for message in messages + quoted:
        parts = re.split(
            r"…|\d+|'[^']*'|\([\d, ]+\)|(?:teachers|train)\.\w+:?|EDSR|known|: ", message
        )
        parts = [part.strip(" :;(?)'") for part in parts]
        assert any(len(part) >= 6 for part in parts), message
        missing = [part for part in parts if part not in code]
        # Python's own message has no text in anybody's sources.
        assert not missing or message.startswith('No module named'), (message, missing)
