"""An option file becomes one frozen object, and every key in it is read by somebody."""

import ast
import copy
import dataclasses
import inspect

import basicsr.models.base_model
import basicsr.models.sr_model
import basicsr.train
import pytest
from conftest import tiny

from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.config import (
    MODELS,
    ModelSpec,
    SpeedOptions,
    TargetSource,
    TeacherOptions,
    ValOptions,
)
from mtkd_basicsr.config.teacher_kinds import FolderOptions
from mtkd_basicsr.distillers import METHODS, training_config
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.option_schema import TRAIN_KEYS


def test_a_training_with_a_fused_target(make_options):
    opt = make_options('MTKDModel')
    opt['train'].update(max_skipped=3, amp='bf16', kd={'type': 'MTKD', 'also': ['DUKD']})
    opt['logger']['keep_last'] = 2
    opt['val'] = {'tile': 64, 'tile_overlap': 8, 'val_freq': 1, 'save_img': False}
    untouched = copy.deepcopy(opt)
    config = training_config(opt)
    assert opt == untouched
    assert config.model is MODELS['MTKDModel']
    assert config.scale == opt['scale']
    assert config.network == opt['network_g']
    assert config.network is not opt['network_g'], 'BasicSR pops the type out of it'
    assert list(config.teachers) == list(opt['teachers'])
    assert all(isinstance(teacher, TeacherOptions) for teacher in config.teachers.values())
    assert config.fusion.weights == opt['fusion']['weights']
    assert config.target_source is TargetSource.FUSED
    assert config.cache_contents == 'target'
    assert [method.options.type for method in config.distillation.all] == ['MTKD', 'DUKD']
    assert [method.key for method in config.distillation.all] == ['train.kd', 'train.kd.also[0]']
    assert config.max_skipped == 3
    assert config.keep_last == 2
    assert config.speed == SpeedOptions(amp='bf16')
    assert config.val == ValOptions(64, 8)
    assert config.train_dataset.gt_size == opt['datasets']['train']['gt_size']
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.scale = 3


@pytest.mark.parametrize(
    ('kd', 'source', 'contents'),
    [
        ({'type': 'Scratch'}, TargetSource.NONE, None),
        ({'type': 'AT', 'teacher': 'edsr'}, TargetSource.TEACHER, 'teachers'),
        (None, TargetSource.FUSED, 'target'),
    ],
)
def test_what_a_method_uses_decides_what_is_parsed(make_options, kd, source, contents):
    opt = make_options('MTKDModel')
    if kd is not None:
        opt['train']['kd'] = kd
    config = training_config(opt)
    assert config.target_source is source
    assert config.cache_contents == contents
    assert bool(config.teachers) == (source is not TargetSource.NONE)
    assert bool(config.fusion) == (source is TargetSource.FUSED)


def test_a_test_needs_neither_teachers_nor_losses(make_options):
    opt = make_options('MTKDModel')
    for name in ('teachers', 'fusion', 'train', 'logger'):
        opt.pop(name)
    opt['is_train'] = False
    config = training_config(opt)
    assert not config.is_train
    assert not config.teachers
    assert config.distillation is None


def test_stage_1_needs_its_teachers_in_tests_too(make_options):
    opt = make_options('MTKDFusionModel')
    opt['is_train'] = False
    assert list(training_config(opt).teachers) == list(opt['teachers'])
    opt.pop('teachers')
    with pytest.raises(OptionError, match='teachers: None; expected a mapping of names'):
        training_config(opt)


def test_a_folder_is_another_kind_of_teacher(make_options):
    opt = make_options('MTKDFusionModel')
    opt['teachers']['folder'] = {'images': 'outputs'}
    teacher = training_config(opt).teachers['folder']
    assert teacher == FolderOptions('outputs')
    assert not teacher.runs_here


def test_all_that_is_wrong_is_found_at_once(make_options):
    opt = make_options('MTKDModel')
    opt['train'].update(total_itr=5, max_skipped=-1, amp='fp8', kd={'type': 'MTKD', 'also': ['x']})
    opt['train'].pop('pixel_opt')
    opt['logger']['keep_last'] = 0
    opt['teachers']['edsr'] = {'network': tiny('EDSR', 2)}
    opt['fusion'] = {'network': tiny('DCTSwin', 2, in_chans=9)}
    findings = Findings()
    training_config(opt, errors=findings)
    found = [finding.text for finding in findings]
    for text in (
        "train.total_itr: unknown key 'total_itr'; known: ",
        'train.max_skipped: -1; expected a number of steps, from 0 on',
        "train.amp: 'fp8'; known: ",
        "train.kd.also[0].type: unknown method 'x'; known: ",
        'train.pixel_opt: missing',
        'logger.keep_last: 0; expected a number of checkpoints, from 1 on',
        "teachers.edsr: key 'weights' is missing",
        "fusion: key 'weights' is missing",
    ):
        assert [line for line in found if line.startswith(text)], (text, found)


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('total_itr', 'total_iter'),
        ('warmup_iters', 'warmup_iter'),
        ('ema_deca', 'ema_decay'),
        ('optimg', 'optim_g'),
        ('distil_opt', 'distill_opt'),
        ('teacher_precison', 'teacher_precision'),
    ],
)
@pytest.mark.parametrize('model', MODELS)
def test_a_key_of_train_that_nobody_reads_is_refused_with_the_nearest(
    make_options, model, key, near
):
    opt = make_options(model)
    if model == 'KDModel':
        opt['train']['kd'] = {'type': 'Scratch'}
    training_config(opt)
    opt['train'][key] = 1
    with pytest.raises(OptionError, match=rf"train.{key}: unknown key .*did you mean '{near}'"):
        training_config(opt)


def test_models_of_others_read_keys_of_their_own(make_options):
    """Somebody's subclass of a model, under another name, may have keys that we do not know."""
    opt = make_options('KDModel')
    opt['train'].update(kd={'type': 'Scratch'}, my_key=1)
    opt['model_type'] = 'SomebodysModel'
    assert training_config(opt, ModelSpec()).distillation.main.options.type == 'Scratch'
    assert training_config(opt).distillation is None


def _keys_read(module):
    """Return the keys that a module of BasicSR reads of ``train``, out of its source."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        key = section = None
        if isinstance(node, ast.Subscript):
            key = node.slice
            section = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            key = node.args[0]
            section = node.func.value
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            text = ast.unparse(section)
            if text == 'train_opt' or text.endswith("opt['train']"):
                found.add(key.value)
    return found


def test_the_keys_of_basicsr_are_those_that_its_code_reads():
    modules = (basicsr.train, basicsr.models.base_model, basicsr.models.sr_model)
    read = set().union(*map(_keys_read, modules))
    assert read == set(TRAIN_KEYS)


def test_every_method_says_where_its_target_comes_from():
    for name, method in METHODS.items():
        assert isinstance(method.target_source, TargetSource), name
    fused = [n for n, method in METHODS.items() if method.target_source is TargetSource.FUSED]
    assert fused == ['MTKD']
