"""Teachers whose network is that which their weights record: ``weights: reference:edsr_x4``."""

import pytest
import torch
from conftest import (
    build,
    mtkd,
    options_for,
    tiny,
    with_cache,
    write_options,
    write_weights,
)
from helpers.wrong_inputs import plan, workshop

from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.validation import check
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.data.cache.inputs import CacheInput
from mtkd_basicsr.errors import MTKDError, OptionError
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble

REFERENCES = ('edsr_x4', 'rcan_x4', 'swinir_x4')


def recorded(path, network, seed=3, scale=2, **extras):
    """A checkpoint of a student."""
    extras = {'network': network, 'scale': scale, 'version': '0.1.0', **extras}
    return write_weights(path, network, seed, mtkd=extras)


def ensemble(entries, scale=2):
    return TeacherEnsemble(parse_teachers({'teachers': entries}), scale)


def test_the_reference_teachers_need_no_network():
    teachers = ensemble({name: {'weights': f'reference:{name}'} for name in REFERENCES}, 4)
    assert [line.split(', ')[0] for line in teachers.describe()] == [
        'Teacher edsr_x4: EDSR',
        'Teacher rcan_x4: RCAN',
        'Teacher swinir_x4: SwinIR',
    ]
    assert teachers(torch.rand(1, 3, 8, 8)).shape == (1, 9, 32, 32)


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
def test_a_checkpoint_of_a_student_needs_no_network(tmp_path, arch):
    network = tiny(arch, 2)
    path = recorded(tmp_path / 'student.pth', network)
    lq = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = build(network, 3).eval()(lq).clamp(0, 1)
    assert torch.equal(ensemble({'a': {'weights': path}})(lq), expected)
    assert torch.equal(ensemble({'a': {'weights': path, 'network': None}})(lq), expected)
    wrong = {**network, 'img_range': 2.0}
    with pytest.raises(MTKDError, match='teachers.a.weights: .* img_range: .* in the file, 2.0 in'):
        ensemble({'a': {'weights': path, 'network': wrong}})


def test_a_checkpoint_with_a_name_that_basicsr_resolves(tmp_path):
    network = {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 2, 'upscale': 2}
    from mtkd_basicsr.weights.networks import build as build_network

    state = build_network(network, 'n').state_dict()
    torch.save({'params': state, 'mtkd': {'network': network, 'scale': 2}}, tmp_path / 'a.pth')
    assert 'SRVGGNetCompact' in ensemble({'a': {'weights': str(tmp_path / 'a.pth')}}).describe()[0]


def test_a_file_that_spandrel_recognizes_needs_no_network(tmp_path):
    span = pytest.importorskip('spandrel.architectures.SPAN').SPAN
    torch.manual_seed(0)
    torch.save(span(num_in_ch=3, num_out_ch=3, upscale=2).state_dict(), tmp_path / 'span.pth')
    teachers = ensemble({'a': {'weights': str(tmp_path / 'span.pth')}})
    assert teachers.describe()[0].startswith('Teacher a: SPAN (spandrel)')


def test_a_fusion_network_needs_one_unless_it_is_recorded(tmp_path):
    teachers = {'a': {'weights': recorded(tmp_path / 'a.pth', tiny('EDSR', 2))}}
    network = tiny('DCTSwin', 2, in_chans=3)
    path = recorded(tmp_path / 'fusion.pth', network, teachers=['a'])
    fused = FusedTeachers(ensemble(teachers), parse_fusion({'fusion': {'weights': path}}))
    assert fused(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)
    path = write_weights(tmp_path / 'fusion.pth', network, mtkd={'teachers': ['a'], 'scale': 2})
    with pytest.raises(
        OptionError, match="fusion.network: missing; '.*fusion.pth' does not record"
    ):
        FusedTeachers(ensemble(teachers), parse_fusion({'fusion': {'weights': path}}))


def test_a_cache_does_not_mind_whether_the_network_is_spelled_out(tmp_path):
    path = recorded(tmp_path / 'a.pth', tiny('EDSR', 2))
    entries = [{'weights': path}, {'weights': path, 'network': tiny('EDSR', 2)}]
    identities = []
    for entry in entries:
        identity = parse_teachers({'teachers': {'a': entry}})['a'].cache_identity([])
        identities.append(CacheInput(*identity))
    assert identities[0].network == {}
    for first in identities:
        for second in identities:
            assert list(first.differences(second, 'teachers.a')) == []
    recorded(tmp_path / 'a.pth', tiny('EDSR', 2), seed=4)
    other = CacheInput(*parse_teachers({'teachers': {'a': entries[0]}})['a'].cache_identity([]))
    assert 'weights: another file' in next(identities[1].differences(other, 'teachers.a'))


def test_a_plan_names_weights_alone(tmp_path, monkeypatch):
    workshop(tmp_path)
    monkeypatch.chdir(tmp_path)

    def checked(**teacher):
        logit = {'train': {'kd': {'type': 'LogitKD'}}, 'teachers': {'a': teacher}}
        distill = {'distill_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}}
        logit['train'].update(distill)
        plan(methods={'logit': logit}, baseline='logit')()
        content = read_plan(tmp_path / 'plan.yml')
        runs = expand(content, tmp_path / 'out')
        check(content, runs, tmp_path / 'out')
        return [run.kind for run in runs]

    assert 'student' in checked(weights='student.pth')
    assert 'student' in checked(weights='student.pth', network=tiny('EDSR', 2))
    with pytest.raises(
        OptionError, match="teachers.a.network: missing; 'EDSR_x2.pth' does not rec"
    ):
        checked(weights='EDSR_x2.pth')


@pytest.mark.slow
def test_every_command_runs_with_weights_alone(photographs, tmp_path, here):
    opt = options_for(photographs, tmp_path, 'MTKDModel')
    opt['teachers'] = {
        arch.lower(): {'weights': recorded(tmp_path / f'{arch}.pth', tiny(arch, 2), seed)}
        for seed, arch in enumerate(('SwinIR', 'EDSR', 'RCAN'))
    }
    with_cache(opt, tmp_path / 'c.lmdb')
    path = write_options(tmp_path / 'o.yml', opt)
    with pytest.raises(SystemExit):  # random teachers are below bicubic
        here('check', '-opt', path, '--no-steps')
    errors = [line for line in here.printed().splitlines() if line.startswith('ERROR')]
    assert errors
    assert all('below bicubic' in line for line in errors), errors
    assert '3 images' in here('cache', '-opt', path, '--workers', '0')
    # The cache is taken if the networks are spelled out.
    for arch in ('SwinIR', 'EDSR', 'RCAN'):
        opt['teachers'][arch.lower()]['network'] = tiny(arch, 2)
    printed = mtkd('train', '-opt', write_options(tmp_path / '2.yml', opt), cwd=tmp_path)
    assert 'End of training' in printed
