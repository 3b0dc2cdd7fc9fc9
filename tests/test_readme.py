"""The README speaks of what is there: paths, commands, options, and the messages that it quotes."""

import re

import pytest
from conftest import ROOT

import mtkd_basicsr
from mtkd_basicsr.cli import main

README = (ROOT / 'README.md').read_text()


def test_links_and_paths_exist():
    paths = set(re.findall(r'\]\((?!http)([^)#]+)\)', README)) | set(re.findall(r'`((?:options|tests|benchmarks)/[\w./]+)`', README))
    paths |= set(re.findall(r'-opt (options/[\w./]+\.yml)', README))
    assert len(paths) >= 3
    for path in paths:
        assert (ROOT / path).exists(), path


def test_commands_exist(capsys):
    commands = set(re.findall(r'\bmtkd (train|test|cache|compare|check|demo|options|data|export|upscale)\b', README))
    assert {'train', 'test', 'demo'} <= commands
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            main([command, '--help'])
        assert stop.value.code == 0
        assert f'usage: mtkd {command}' in capsys.readouterr().out


def test_arguments_exist(capsys):
    with pytest.raises(SystemExit):
        main(['train', '--help'])
    known = capsys.readouterr().out
    for argument in ('--auto_resume', '--force_yml', '--launcher'):
        assert argument in README and argument in known


def test_first_line_is_that_of_the_option_files():
    line = re.search(r'`(mtkd_basicsr: !!python/name:[\w.]+)`', README).group(1)
    for path in (ROOT / 'options').rglob('*.yml'):
        assert line in path.read_text().splitlines()[:8][-1] or line in path.read_text(), path


def test_names_in_python_exist():
    for name in re.findall(r'mtkd_basicsr\.(\w+)\(', README):
        assert hasattr(mtkd_basicsr, name)


def test_first_screen_and_ci_have_the_two_commands():
    screen = '\n'.join(README.splitlines()[:30])
    for command in ('pip install . && mtkd demo', "pip install -e '.[test]' && pytest", 'python basicsr/train.py -opt options/mtkd_edsr.yml'):
        assert f'    {command}\n' in screen
    assert "pip install -q -e '.[test]' && pytest" in (ROOT / '.ci' / 'run').read_text()


def test_methods_and_their_keys_are_in_the_table():
    from dataclasses import fields

    from mtkd_basicsr.distillers import METHODS
    from mtkd_basicsr.distillers.base import FeatureOptions
    from mtkd_basicsr.options import KDOptions
    rows = {line.split('|')[1].strip().strip('`'): line for line in README.splitlines() if line.startswith('| `')}
    common = {f.name for cls in (KDOptions, FeatureOptions) for f in fields(cls)}
    for name, method in METHODS.items():
        for f in fields(method.Options):
            if f.name not in common:
                default = str(f.default).lower() if isinstance(f.default, bool) else f.default
                default = {10 / 255: '10/255'}.get(default, f'{default:g}') if isinstance(default, float) else default
                assert re.search(rf'`{f.name}(: {re.escape(str(default))})?`', rows[name]), (name, f.name)
                assert default is None or f'`{f.name}: {default}`' in rows[name], (name, f.name, default)


def test_keys_of_plans_are_in_the_table():
    from dataclasses import fields

    from mtkd_basicsr.compare.plan import Condition, PlanOptions
    text = README.split('A plan has these keys')[1].split('## What it costs')[0]
    for f in fields(PlanOptions):
        assert f.name == 'mtkd_basicsr' or f'`{f.name}`' in text, f.name
    for f in fields(Condition):
        assert f'{f.name}: ' in text, f.name


def test_every_option_of_ours_is_in_the_table():
    from dataclasses import fields

    from mtkd_basicsr.options import KDOptions, SpeedOptions, TeacherOptions, ValOptions
    keys = [f'teachers.NAME.{f.name}' for f in fields(TeacherOptions)] + [f'val.{f.name}' for f in fields(ValOptions)]
    keys += [f'train.kd.{f.name}' for f in fields(KDOptions)] + ['train.distill_opt', 'train.mix_batches', 'datasets.train.target_cache']
    keys += [f'train.{f.name}' for f in fields(SpeedOptions)]
    for key in keys:
        assert f'`{key}`' in README, key
