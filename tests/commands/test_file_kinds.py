"""A file for another command is refused with the command that takes it."""

import pytest
from helpers.wrong_inputs import options, outcome, plan, raw, snapshot, workshop

from mtkd_basicsr.errors import OptionError


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kinds')
    workshop(folder)
    return folder


TRAINING = 'the option file of a training; use it with: mtkd train -opt file.yml'
TEST = 'the option file of a test; use it with: mtkd test -opt file.yml'
PLAN = 'the plan of a comparison; use it with: mtkd compare -opt file.yml'
BASED = raw('base: plan.yml\nname: x\n')
BEGUN = raw('name: x\nstudents: {}\n')


def _moved(make, name):
    def moved(folder):
        make()
        (folder / name).rename(folder / 'file.yml')

    return moved


@pytest.mark.parametrize(
    ('commands', 'make', 'text'),
    [
        ('train test check cache', _moved(plan(), 'plan.yml'), PLAN),
        ('train test check cache', _moved(BASED, 'options.yml'), PLAN),
        ('train test check cache', _moved(BEGUN, 'options.yml'), PLAN),
        ('compare test', _moved(options('MTKDModel'), 'options.yml'), TRAINING),
        ('compare test', _moved(options('KDModel', model_type='SRModel'), 'options.yml'), TRAINING),
        ('compare train check cache', _moved(options('KDModel', 'test'), 'options.yml'), TEST),
    ],
    ids=['plan', 'plan with a base', 'plan that is begun', 'training', 'of BasicSR', 'test'],
)
def test_the_command_that_takes_the_file_is_named(commands, make, text, folder, monkeypatch):
    monkeypatch.chdir(folder)
    make(folder)
    before = snapshot('.')
    for command in commands.split():
        result = outcome([command, '-opt', 'file.yml'])
        assert result.printed == f"mtkd {command}: -opt: 'file.yml' is {text}\n"
        assert (result.kind, result.status) == (OptionError, 1)
    assert snapshot('.') == before
