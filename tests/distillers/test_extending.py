"""docs/extending.md: its files are written down as they stand there, and train; methods of one's
own.
"""

import re
import runpy
import sys
from dataclasses import dataclass

import pytest
import torch
import yaml
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from conftest import ROOT, run, write_options
from helpers.distillation import batch_of, kd_options, model_of, step

from mtkd_basicsr.config import TargetSource
from mtkd_basicsr.distillers import METHODS, Method, register_method
from mtkd_basicsr.errors import MTKDError, OptionError

PAGE = (ROOT / 'docs' / 'extending.md').read_text()


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)


def overlay(opt, changes):
    for key, value in changes.items():
        opt[key] = (
            overlay(opt.get(key, {}), value)
            if isinstance(value, dict) and key != 'teachers'
            else value
        )
    return opt


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder with the modules of the page, weights for its teacher, and ``mtkd`` as pip
    installs it.
    """
    modules = {text.splitlines()[0].removeprefix('# '): text for text in blocks('python')}
    assert set(modules) == {'my_networks.py', 'my_methods.py'}
    for name, text in modules.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(ARCH_REGISTRY, '_obj_map', dict(ARCH_REGISTRY._obj_map))
    network = runpy.run_path(str(tmp_path / 'my_networks.py'))['TwoConvs']
    torch.save(network(2).state_dict(), tmp_path / 'two_convs.pth')
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'mtkd').write_text(
        'import sys\nfrom mtkd_basicsr.commands.cli import main\nsys.exit(main())\n'
    )
    return tmp_path


@pytest.mark.slow
def test_the_worked_example_trains(folder, photographs):
    opt = kd_options(photographs, folder, 'LogitKD', name='mine')
    lines = ''
    for text in blocks('yaml'):
        imports = re.findall(r'^(\w+: !!python/name:.*\n)', text, re.MULTILINE)
        rest = re.sub(r'(?m)^\w+: !!python/name:.*\n', '', text)
        assert len(imports) == 1
        lines += imports[0]
        overlay(opt, yaml.safe_load(rest))
    opt['train'].pop('distill_opt')  # the target is there for the method alone
    header = PAGE.split('mtkd_basicsr: !!')[1].splitlines()[0]
    options = write_options(folder / 'my.yml', opt, f'mtkd_basicsr: !!{header}\n{lines}')
    command = [sys.executable, 'bin/mtkd', 'train', '-opt', 'my.yml']
    assert 'PYTHONPATH=. mtkd train -opt my.yml' in PAGE
    assert options.endswith('my.yml')
    printed = run(command, folder, PYTHONPATH='.')
    for text in (
        'Teacher mine: TwoConvs',
        'Method: EdgeKD + SpreadKD',
        'my_methods: my_methods',
        'Save the latest model.',
    ):
        assert text in printed, (text, printed[-3000:])
    losses = {
        name: [float(v) for v in re.findall(rf'{name}: (\S+)', printed)]
        for name in ('l_pix', 'l_edge', 'l_spread')
    }
    assert all(len(values) == 2 and min(values) > 0 for values in losses.values()), losses
    assert 'l_distill' not in printed


@pytest.fixture
def table(monkeypatch):
    """The table of methods, which is afterwards what it was."""
    before = dict(METHODS)
    yield METHODS
    METHODS.clear()
    METHODS.update(before)


def named(name, **members):
    return type(name, (Method,), {'__module__': 'mine', '__qualname__': name, **members})


def test_a_registered_method_is_known_and_its_keys_are_checked(table, photographs, tmp_path):
    @dataclass(frozen=True)
    class Options(Method.Options):
        weight: 'float' = 2.0  # as `from __future__ import annotations` leaves it

    mine = named(
        'Mine',
        Options=Options,
        losses=lambda self, step: {'l_mine': self.options.weight * step.output.mean()},
    )
    assert register_method(mine) is mine
    assert table['Mine'] is mine
    model = model_of(
        kd_options(
            photographs, tmp_path, {'type': 'LogitKD', 'also': [{'type': 'Mine', 'weight': 3}]}
        ),
        tmp_path,
    )
    assert [type(m).__name__ for m in model.distiller.methods] == ['LogitKD', 'Mine']
    for kd, text in (
        ({'type': 'Mine', 'weigth': 1.0}, "unknown key 'weigth'.*did you mean 'weight'"),
        ({'type': 'Mine', 'weight': 'much'}, "train.kd.weight: 'much'; expected a number"),
    ):
        with pytest.raises(OptionError, match=text):
            model_of(kd_options(photographs, tmp_path, kd), tmp_path)


def test_registering_twice_does_no_harm_and_a_taken_name_is_refused(table):
    first = named('Mine')
    second = named('Mine')
    register_method(first)
    assert register_method(second) is second
    assert table['Mine'] is second
    for theirs in ('AT', 'Mine'):
        with pytest.raises(
            MTKDError,
            match=f"train.kd.type: the name '{theirs}' belongs to .*; other cannot register "
            'another class under it',
        ):
            register_method(
                type(theirs, (Method,), {'__module__': 'other', '__qualname__': theirs})
            )
    assert table['Mine'] is second


def test_keys_that_would_be_lost_are_refused(table):
    undecorated = type(
        'Options', (Method.Options,), {'__annotations__': {'weight': float}, 'weight': 1.0}
    )
    for options in (undecorated, type('Options', (), {})):
        with pytest.raises(
            MTKDError, match='Mine.Options: expected a subclass of .* decorated with @dataclass'
        ):
            register_method(named('Mine', Options=options))
    assert 'Mine' not in table


def test_a_method_of_version_0_1_0_is_translated(table):
    with pytest.warns(DeprecationWarning, match='is called .* now') as warned:
        old = register_method(
            named('Mine', adds=False, fused=True, needs_targets_of_other_images=True)
        )
    assert {str(warning.message) for warning in warned} == {
        'Mine.adds is called has_own_losses now',
        'Mine.fused is called target_source now',
        'Mine.needs_targets_of_other_images is called queries_teacher now',
    }
    assert not old.has_own_losses
    assert old.target_source is TargetSource.FUSED
    assert old.queries_teacher
    with pytest.warns(DeprecationWarning, match='Mine.alone is called target_source now'):
        assert register_method(named('Mine', alone=True)).target_source is TargetSource.NONE
    assert not Method.queries_teacher, 'other methods are as they were'
    assert Method.target_source is TargetSource.TEACHER


class FrozenFeatureLoss(torch.nn.Module):
    """The distance of features of a random network that nobody trains."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Conv2d(3, 4, 3).requires_grad_(False)

    def forward(self, pred, target):
        return (self.net(pred) - self.net(target)).abs().mean()


def test_the_frozen_network_of_a_loss_is_not_trained(photographs, tmp_path, monkeypatch, caplog):
    """A training state has it, because its weights may be random."""
    losses = {**LOSS_REGISTRY._obj_map, 'FrozenFeatureLoss': FrozenFeatureLoss}
    monkeypatch.setattr(LOSS_REGISTRY, '_obj_map', losses)
    opt = kd_options(photographs, tmp_path, {'type': 'LogitKD', 'also': ['FitNet']}, name='frozen')
    opt['train']['distill_opt'] = {'type': 'FrozenFeatureLoss'}
    with caplog.at_level('INFO', logger='basicsr'):
        model = model_of(opt, tmp_path)
    frozen = model.distiller.distill_loss.net
    trained = {id(p) for group in model.optimizer_g.param_groups for p in group['params']}
    assert not trained & {id(p) for p in frozen.parameters()}
    assert model.adapters
    assert not any('distill_loss' in name for name in model.adapters)
    count = sum(p.numel() for p in model.adapters.values())
    assert f'{count:,d} parameters of adapters' in caplog.text
    extras = model.training_state_extras()
    saved = {name: p + 1 for name, p in extras['adapters'].items()}
    model.save(0, 1)
    path = tmp_path / 'experiments' / 'frozen' / 'training_states' / '1.state'
    model.resume_training({**torch.load(path, weights_only=True), 'adapters': saved})
    assert torch.equal(frozen.weight, saved['distill_loss.net.weight'])
    for name, p in model.adapters.items():
        assert torch.equal(p, saved[name])


@pytest.mark.parametrize(
    ('returned', 'text'),
    [
        (lambda loss: loss, 'returned Tensor; expected a dict with a scalar tensor'),
        (lambda loss: {'l_mine': 3.0}, "returned float as 'l_mine'; expected"),
        (
            lambda loss: {'l_mine': loss.expand(2)},
            "returned a tensor of shape (2,) as 'l_mine'",
        ),
    ],
)
def test_losses_of_another_form_name_their_method(returned, text, table, photographs, tmp_path):
    register_method(named('Mine', losses=lambda self, step: returned(step.output.mean())))
    opt = kd_options(photographs, tmp_path, {'type': 'LogitKD', 'also': ['Mine']})
    model = model_of(opt, tmp_path)
    with pytest.raises(OptionError) as error:
        step(model, batch_of())
    assert str(error.value).startswith(f'train.kd: Mine.losses {text}')


def test_a_method_without_losses_needs_a_loss_of_the_training(table, photographs, tmp_path):
    mine = named('Mine', needs_target=True, loss=lambda self, step: {})  # it meant `losses`
    assert not register_method(mine).has_own_losses
    opt = kd_options(photographs, tmp_path, 'Mine')
    loss = opt['train'].pop('distill_opt')
    with pytest.raises(OptionError, match='train.distill_opt: missing'):
        model_of(opt, tmp_path)
    opt['train']['distill_opt'] = loss
    model_of(opt, tmp_path)
    members = {'needs_target': True, 'losses': lambda self, step: {}}
    assert register_method(named('Other', **members)).has_own_losses
    derived = type('Derived', (table['Other'],), {'__module__': 'mine', '__qualname__': 'Derived'})
    assert register_method(derived).has_own_losses
