"""Option trees, option files and ``--force_yml`` by chance: they pass, or give an error of ours,
and nothing else.
"""

import contextlib
import copy
import io
import os
from pathlib import Path

import pytest
import yaml
from helpers.wrong_inputs import tree, workshop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.checks.static import check_fast, refuse
from mtkd_basicsr.commands._option_files import OptionFile, parse_like_basicsr
from mtkd_basicsr.config import apply_overrides
from mtkd_basicsr.errors import MTKDError, OptionError
from mtkd_basicsr.host.option_schema import structure_errors
from mtkd_basicsr.host.yaml_loader import read_options, value_of_text

MODELS = ('MTKDFusionModel', 'MTKDModel', 'KDModel')
HEADER = 'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__\n'

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            'EDSR',
            'MTKD',
            'L1Loss',
            'KDModel',
            'DistillImageDataset',
            'auto',
            '1e-4',
            '../x',
            'x' * 300,
        ]
    ),
)
keys = st.one_of(
    st.text(max_size=6),
    st.sampled_from(['type', 'network', 'weights', 'kd', 'tile', 'also', 'images', 'path', 'name']),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
mutations = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(['delete', 'replace', 'insert', 'rename']), keys, junk
    ),
    min_size=1,
    max_size=4,
)


def bounded(examples):
    """The same examples at every run, so many of them."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('fuzz')
    workshop(folder)
    start = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(start)


def good(model):
    """Options of a training, with methods where the model has them."""
    opt = tree(model)
    if model == 'KDModel':
        opt['teachers'] = {'edsr': tree('MTKDModel')['teachers']['edsr']}
        opt['train'].update(
            kd={'type': 'FAKD', 'weight': 1.0, 'also': ['DUKD']},
            amp='auto',
            teacher_precision='bf16',
        )
    return opt


def blocks_of(value):
    """All mappings of a tree, the outer ones first."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from blocks_of(each)


def mutated(opt, changes):
    """A tree with keys deleted, renamed, inserted, and values replaced."""
    opt = copy.deepcopy(opt)
    for where, what, key, value in changes:
        places = [(block, name) for block in blocks_of(opt) for name in block]
        if not places:
            break
        block, name = places[min(int(where * len(places)), len(places) - 1)]
        if what == 'replace':
            block[name] = value
        elif what == 'insert':
            block[key] = value
        else:
            content = block.pop(name)
            if what == 'rename':
                block[name + 's'] = content
    return opt


def survives(function, *arguments):
    """Whether a function passes; an error of ours is no failure, any other is one."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            function(*arguments)
        except MTKDError as error:
            assert str(error).strip()  # noqa: PT017
            return False
    return True


def whole_way(path, forced=None):
    """What ``mtkd train`` and ``mtkd check`` do with a file, as far as nothing is built."""
    opt = parse_like_basicsr('train', OptionFile(path, forced, True))
    refuse(opt)


@bounded(350)
@given(st.sampled_from(MODELS), mutations)
def test_changed_options_end_in_errors_of_ours(place, model, changes):
    opt = mutated(good(model), changes)
    Path('options.yml').write_text(HEADER + yaml.safe_dump(opt, sort_keys=False), encoding='utf-8')
    survives(whole_way, 'options.yml')
    survives(check_fast, opt, Findings())
    assert all(
        isinstance(text, str) and ':' in text
        for is_train in (True, False)
        for text in structure_errors(opt, is_train)
    )


@pytest.mark.parametrize('model', MODELS)
def test_options_that_are_right_pass(place, model):
    opt = good(model)
    Path('options.yml').write_text(HEADER + yaml.safe_dump(opt, sort_keys=False), encoding='utf-8')
    assert survives(whole_way, 'options.yml')


@bounded(250)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(str.encode),
        st.text('[]{}:-,&*!|>#\'"%@`?~<= \n\tab01.', max_size=60).map(str.encode),
    ),
    st.booleans(),
)
@example(b'[' * 100_000, False)
@example(b'{a: ' * 100_000, True)
@example(b'- ' * 3000, True)
@example(b'a: 1__0:0', False)
def test_any_bytes_end_in_errors_of_ours(place, content, safe):
    Path('bytes.yml').write_bytes(content)
    if survives(read_options, 'bytes.yml', safe):
        assert all(isinstance(key, str) for key in read_options('bytes.yml', safe))


@bounded(100)
@given(st.integers(0, 2**16), st.binary(max_size=3), st.integers(0, 20))
def test_damaged_files_end_in_errors_of_ours(place, at, inserted, left_out):
    content = (HEADER + yaml.safe_dump(tree('MTKDModel'), sort_keys=False)).encode()
    at %= len(content)
    Path('damaged.yml').write_bytes(content[:at] + inserted + content[at + left_out :])
    before = set(place.rglob('*'))
    survives(whole_way, 'damaged.yml')
    assert set(place.rglob('*')) == before, 'nothing is created by reading'


paths = st.sampled_from(
    [
        'train:total_iter',
        'val:tile',
        'train',
        'name',
        'datasets:train:gt_size',
        'train:kd',
        'scale:x',
        'path:x',
        '',
    ]
)
values = st.one_of(
    scalars.map(str),
    junk.map(str),
    st.text('[]()!~.0123456789eE+-x', max_size=8),
    st.sampled_from(['²', '!!float', '[1,', '[[]']),
)


@bounded(150)
@given(
    st.lists(
        st.one_of(st.text(max_size=20), st.tuples(paths, values).map('='.join)),
        min_size=1,
        max_size=3,
    )
)
@example(['train:total_iter=²'])
@example(['scale=[__import__("os").mkdir("EXECUTED")]'])
@example(['"]=__import__("os").mkdir("EXECUTED")#=1'])
@example(['train:total_iter=' + '[' * 500])
def test_any_forced_entries_end_in_errors_of_ours(place, entries):
    Path('forced.yml').write_text(
        HEADER + yaml.safe_dump(tree('MTKDModel'), sort_keys=False), encoding='utf-8'
    )
    # which argparse would take for an argument
    entries = [entry for entry in entries if not entry.startswith('-')] or ['x']
    survives(whole_way, 'forced.yml', entries)
    assert not Path('EXECUTED').exists()


def test_a_failure_would_be_seen():
    def fails():
        raise KeyError('path')

    with pytest.raises(KeyError):
        survives(fails)
    assert not survives(apply_overrides, {}, ['x'], value_of_text)
    with pytest.raises(OptionError):
        apply_overrides({}, ['x'], value_of_text)
