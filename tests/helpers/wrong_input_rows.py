"""Wrong inputs for every command: how each is made, and what is said about it. What runs them is in
test_bad_input.py.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from conftest import tiny, write_weights

from helpers.wrong_inputs import (
    GONE,
    USAGE,
    Row,
    RunsCode,
    both,
    cut,
    folder_at,
    named_as_in_the_options,
    options,
    picture,
    plan,
    raw,
    saved,
    weights,
    with_value,
)
from mtkd_basicsr.errors import DataError, OptionError, WeightsError

GREY = np.full((48, 40), 128, np.uint8)
TRAIN, CHECK, CACHE, TEST = (
    f'{name} -opt options.yml' for name in ('train', 'check', 'cache', 'test')
)
CACHED = {
    'datasets__train__type': 'DistillImageDataset',
    'datasets__train__target_cache': 'cache.lmdb',
}
BOMB = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{b}: &{b} [{", ".join([f"*{a}"] * 10)}]\n' for a, b in zip('abcdefgh', 'bcdefghi')
)


def nested(times):
    return 'a: ' + '[' * times + ']' * times


def changed(path, change):
    """Changes the state dict of a file."""

    def make():
        content = torch.load(path, weights_only=True)
        torch.save({'params': change(content['params'])}, path)

    return make


def second_ending(path):
    """Makes an image of another format and of the same name."""
    return lambda: cv2.imwrite(f'{path}.bmp', cv2.imread(f'{path}.png'))


def wrapped(state):
    return {f'_orig_mod.{name}': value for name, value in state.items()}


def state_of_a_training(folder='.', **network):
    """Makes a training state of iteration 5; with changes of an EDSR also its network."""

    def make():
        Path(folder).mkdir(parents=True, exist_ok=True)
        state = {'epoch': 0, 'iter': 5, 'optimizers': [], 'schedulers': []}
        torch.save(state, Path(folder, '5.state'))
        if network:
            models = Path(folder).parent / 'models'
            models.mkdir()
            write_weights(models / 'net_g_5.pth', tiny('EDSR', 2, **network))

    return make


# What of an EDSR is in the file, how it is made, part of the text.
PARTIAL = [
    (
        'nothing',
        lambda state: {f'other.{name}': value for name, value in state.items()},
        'does not fit EDSR: it has 0 of the 12 tensors, expected at least half of them; missing: ',
    ),
    (
        'a third',
        lambda state: {name: value for name, value in state.items() if name.startswith('body')},
        'does not fit EDSR: it has 4 of the 12 tensors, expected at least half of them; missing: ',
    ),
]
# What is in the file, content, part of the text.
FILES = [
    ('no file', None, "-opt: no file 'options.yml'"),
    ('a folder', lambda: Path('options.yml').mkdir(), "-opt: no file 'options.yml'"),
    (
        'an empty file',
        '',
        "-opt: 'options.yml' holds nothing; expected a mapping of option names to values",
    ),
    ('comments alone', '# nothing\n', "-opt: 'options.yml' holds nothing"),
    ('a binary file', bytes(range(256)), "-opt: 'options.yml': 'utf-8' codec can't decode"),
    ('control characters', 'name: a\x00b\n', "-opt: 'options.yml': unacceptable character #x0000"),
    (
        'a text in Latin-1',
        'name: Größe\n'.encode('latin-1'),
        "-opt: 'options.yml': 'utf-8' codec can't decode byte 0xf6",
    ),
    ('a list', '- name: x\n', "-opt: 'options.yml' holds list; expected a mapping"),
    ('one word', 'hello\n', "-opt: 'options.yml' holds str; expected a mapping"),
    (
        'a colon too much',
        'name: x\nscale: 2: 3\n',
        "-opt: 'options.yml', line 2, column 9: mapping values are not allowed",
    ),
    (
        'a tab',
        'name: x\ntrain:\n\ta: 1\n',
        "-opt: 'options.yml', line 3, column 1: found character that cannot start any token",
    ),
    (
        'an open bracket',
        'name: [x\n',
        "-opt: 'options.yml', line 2, column 1: did not find expected",
    ),
    (
        'two documents',
        'name: x\n---\nname: y\n',
        "-opt: 'options.yml', line 2, column 1: but found another document",
    ),
    (
        'a section twice',
        'name: x\nval:\n  save_img: false\nscale: 2\nval:\n  save_img: true\n',
        "-opt: 'options.yml', line 5, column 1: the key 'val' is there a second time; the first is "
        'in line 2',
    ),
    (
        'a key twice in a line',
        'train: {optim_g: {lr: 0.1, type: Adam, lr: 0.5}}\n',
        "-opt: 'options.yml', line 1, column 40: the key 'lr' is there a second time",
    ),
    (
        'an unknown alias',
        'name: *x\n',
        "-opt: 'options.yml', line 1, column 7: found undefined alias",
    ),
    ('a date that is none', 'name: 2001-13-45\n', "-opt: 'options.yml': month must be in 1..12"),
    ('a mapping as a key', '? {a: b}\n: 1\n', "-opt: 'options.yml': unhashable type"),
    (
        'a number as a key',
        'train: {1: 2}\n',
        "-opt: 'options.yml': train: the key 1 is not a string; put it in quotes",
    ),
    (
        'yes as a key',
        'yes: 1\n',
        "-opt: 'options.yml': the key True is not a string; put it in quotes",
    ),
    (
        'a tag of nobody',
        'name: !mine x\n',
        "-opt: 'options.yml', line 1, column 7: could not determine a constructor for the tag "
        "'!mine'",
    ),
    (
        'a module that is not there',
        'mine: !!python/name:no_such_module.x\n',
        "line 1, column 7: cannot find module 'no_such_module'",
    ),
    (
        '500 brackets',
        nested(500),
        "-opt: 'options.yml', line 1, column 53: blocks are nested more than 50 levels deep",
    ),
    # PyYAML 6.0.4 refuses more than 1,000 itself, further to the right; before it the text is ours.
    ('5,000 brackets', nested(5000), "-opt: 'options.yml', line 1, column "),
    ('a block in itself', 'a: &a [*a]\n', "-opt: 'options.yml': a[0][0][0][0]"),
    ('a billion by aliases', BOMB, 'aliases make a block contain itself, or grow too large'),
]

# What is wrong, model and changes, part of the text; what BasicSR takes for granted.
STRUCTURE = [
    ('no name', {'name': GONE}, 'name: missing'),
    (
        'a name with folders',
        {'name': '../elsewhere'},
        "name: '../elsewhere'; expected a name for a folder, a string without / and \\",
    ),
    ('a number as a name', {'name': 7}, 'name: 7; expected a name for a folder'),
    ('a name of 300 letters', {'name': 'x' * 300}, 'expected a name for a folder'),
    ('no model_type', {'model_type': GONE}, 'model_type: missing'),
    (
        'a list as model_type',
        {'model_type': ['KDModel']},
        "model_type: ['KDModel']; expected a string",
    ),
    ('no num_gpu', {'num_gpu': GONE}, 'num_gpu: None; expected a whole number from 0 on, or auto'),
    (
        'a string as num_gpu',
        {'num_gpu': 'two'},
        "num_gpu: 'two'; expected a whole number from 0 on, or auto",
    ),
    (
        'a negative num_gpu',
        {'num_gpu': -1},
        'num_gpu: -1; expected a whole number from 0 on, or auto',
    ),
    (
        'a string as manual_seed',
        {'manual_seed': 'x'},
        "manual_seed: 'x'; expected a whole number from 0 to 4294967295",
    ),
    ('a negative manual_seed', {'manual_seed': -1}, 'manual_seed: -1; expected'),
    ('a string as dist_params', {'dist_params': 'nccl'}, "dist_params: 'nccl'; expected a mapping"),
    ('no datasets', {'datasets': GONE}, 'datasets: missing'),
    ('a list as datasets', {'datasets': ['train']}, "datasets: ['train']; expected a mapping"),
    ('empty datasets', {'datasets': {}}, 'datasets.train: missing'),
    ('no datasets.train', {'datasets__train': GONE}, 'datasets.train: missing'),
    (
        'an empty datasets.train',
        {'datasets__train': None},
        'datasets.train: None; expected a mapping',
    ),
    (
        'an unknown phase',
        {'datasets__test': {'name': 'x', 'type': 'y'}},
        'datasets.test: unknown phase; expected train, val',
    ),
    (
        'a dataset without name',
        {'datasets__val__name': GONE},
        'datasets.val.name: missing',
    ),
    (
        'a number as a folder',
        {'datasets__train__dataroot_gt': 3},
        'datasets.train.dataroot_gt: 3; expected a string or nothing',
    ),
    ('no path', {'path': GONE}, 'path: missing'),
    ('a string as path', {'path': 'models'}, "path: 'models'; expected a mapping"),
    (
        'a number as weights',
        {'path__pretrain_network_g': 4},
        'path.pretrain_network_g: 4; expected a string or nothing',
    ),
    (
        'a string as strict_load_g',
        {'path__strict_load_g': 'no'},
        "path.strict_load_g: 'no'; expected true or false",
    ),
    (
        'a list as resume_state',
        {'path__resume_state': ['x']},
        "path.resume_state: ['x']; expected a string or nothing",
    ),
    (
        'a number for BasicSR to make a folder of',
        {'path__mine': 3},
        'path.mine: 3; expected the path of a folder',
    ),
    ('no network_g', {'network_g': GONE}, 'network_g: missing'),
    ('a string as network_g', {'network_g': 'EDSR'}, "network_g: 'EDSR'; expected a mapping"),
    ('no train', {'train': GONE}, 'train: missing'),
    ('a list as train', {'train': [1]}, 'train: [1]; expected a mapping'),
    ('no logger', {'logger': GONE}, 'logger: missing'),
    ('a string as logger', {'logger': 'on'}, "logger: 'on'; expected a mapping"),
    ('a string as val', {'val': 'often'}, "val: 'often'; expected a mapping"),
    (
        'no val_freq',
        {'val__val_freq': GONE},
        'val.val_freq: None; expected a number of iterations, from 1 on',
    ),
    (
        'a val_freq of 0',
        {'val__val_freq': 0},
        'val.val_freq: 0; expected a number of iterations, from 1 on',
    ),
    ('no save_img', {'val__save_img': GONE}, 'val.save_img: None; expected true or false'),
]

VALUES = [
    ('an unknown model', {'model_type': 'MTKDModle'}, "model_type: 'MTKDModle'; known: "),
    ('a scale of 0', {'scale': 0}, 'scale: 0; expected a whole number from 1 on'),
    ('a string as scale', {'scale': 'x2'}, "scale: 'x2'; expected a whole number from 1 on"),
    ('no scale', {'scale': GONE}, 'scale: None; expected a whole number from 1 on'),
    ('true as scale', {'scale': True}, 'scale: True; expected a whole number from 1 on'),
    ('no network type', {'network_g__type': GONE}, 'network_g.type: missing'),
    (
        'an unknown arch',
        {'network_g__type': 'EDRS'},
        "network_g.type: unknown arch 'EDRS'; known: ",
    ),
    (
        'an argument that the arch has not',
        {'network_g__num_faet': 8},
        'network_g: EDSR cannot be built: ',
    ),
    ('a negative width', {'network_g__num_feat': -8}, 'network_g: EDSR cannot be built: '),
    (
        'gt_size that the scale does not divide',
        {'datasets__train__gt_size': 33},
        'gt_size: 33; expected a multiple of the scale, 2',
    ),
    (
        'a string as gt_size',
        {'datasets__train__gt_size': 'big'},
        "datasets.train.gt_size: 'big'; expected a whole number from 1 on",
    ),
    (
        'a negative gt_size',
        {'datasets__train__gt_size': -32},
        'datasets.train.gt_size: -32; expected a whole number from 1 on',
    ),
    (
        'gt_size above the images',
        {'datasets__train__gt_size': 512},
        '3 images are smaller than a patch of 512 pixels',
    ),
    (
        'a batch of 0',
        {'datasets__train__batch_size_per_gpu': 0},
        'datasets.train.batch_size_per_gpu: 0; expected a whole number from 1',
    ),
    (
        'negative workers',
        {'datasets__train__num_worker_per_gpu': -1},
        'datasets.train.num_worker_per_gpu: -1; expected a whole number',
    ),
    (
        'dataset_enlarge_ratio of 0',
        {'datasets__train__dataset_enlarge_ratio': 0},
        'dataset_enlarge_ratio: 0; expected a number above 0',
    ),
    (
        'an empty dataset_enlarge_ratio',
        {'datasets__train__dataset_enlarge_ratio': None},
        'dataset_enlarge_ratio: None; expected a number',
    ),
    (
        'periods that are too short',
        {
            'train__total_iter': 30,
            'train__scheduler': {
                'type': 'CosineAnnealingRestartLR',
                'periods': [9],
                'restart_weights': [1],
            },
        },
        'train.scheduler.periods: [9]; together they have to last for train.total_iter, 30',
    ),
    (
        'no use_hflip',
        {'datasets__train__use_hflip': GONE},
        'datasets.train.use_hflip: None; known: true, false',
    ),
    (
        'an unknown prefetch_mode',
        {'datasets__train__prefetch_mode': 'gpu'},
        "prefetch_mode: 'gpu'; known: ~, cpu, cuda",
    ),
    *(
        (f'{key} {value!r} of {phase}', {f'datasets__{phase}__{key}': value}, text)
        for phase, key, value, text in [
            (
                'train',
                'prefetch_mode',
                'cuda',
                "datasets.train.prefetch_mode: 'cuda' needs datasets.train.pin_memory: true; it is "
                'None',
            ),
            (
                'train',
                'pin_memory',
                'yes',
                "datasets.train.pin_memory: 'yes'; known: ~, true, false",
            ),
            (
                'train',
                'num_prefetch_queue',
                0,
                'datasets.train.num_prefetch_queue: 0; expected a whole number from 1 on',
            ),
            (
                'train',
                'persistent_workers',
                True,
                'datasets.train.persistent_workers: True, but num_worker_per_gpu is 0; remove it',
            ),
            (
                'val',
                'persistent_workers',
                True,
                'datasets.val.persistent_workers: True, but BasicSR validates without workers',
            ),
            (
                'val',
                'prefetch_mode',
                'cuda',
                "datasets.val.prefetch_mode: 'cuda'; BasicSR has only ~ and cpu for validation",
            ),
            (
                'val',
                'num_prefetch_queue',
                0,
                'datasets.val.num_prefetch_queue: 0; expected a whole number from 1 on',
            ),
        ]
    ),
    *(
        (
            f'grad_clip {value!r}',
            {'train__grad_clip': value},
            f'train.grad_clip: {value!r}; expected {expected}',
        )
        for value, expected in [
            (0, 'the largest norm of the gradient, a number above 0, or nothing (~)'),
            (-1.0, 'the largest norm of the gradient'),
            ('0.1 or so', 'a number or nothing (~)'),
            (True, 'a number or nothing (~)'),
        ]
    ),
    (
        'ema_warmup that is a number',
        {'train__ema_warmup': 100},
        'train.ema_warmup: 100; expected true or false',
    ),
    (
        'an unknown dataset',
        {'datasets__train__type': 'Pairs'},
        "datasets.train.type: unknown dataset 'Pairs'; known: ",
    ),
    (
        'no io_backend',
        {'datasets__train__io_backend': GONE},
        'datasets.train.io_backend: None; expected a mapping, such as {type: disk}',
    ),
    (
        'an unknown io_backend',
        {'datasets__train__io_backend__type': 'dsik'},
        "io_backend.type: 'dsik'; known: disk, lmdb, memcached",
    ),
    (
        'no folder of images',
        {'datasets__train__dataroot_lq': 'nowhere'},
        "datasets.train.dataroot_lq: no folder 'nowhere'",
    ),
    (
        'a file as folder of images',
        {'datasets__val__dataroot_gt': 'file'},
        "datasets.val.dataroot_gt: no folder 'file'",
    ),
    (
        'a misspelled key of ours',
        {'datasets__train__target_cach': 'x'},
        "datasets.train.target_cach: unknown key 'target_cach'",
    ),
    ('0 iterations', {'train__total_iter': 0}, 'train.total_iter: 0; expected a number from 1 on'),
    (
        'a string as total_iter',
        {'train__total_iter': '1e5'},
        "train.total_iter: '1e5'; expected a number from 1 on",
    ),
    (
        'ema_decay above 1',
        {'train__ema_decay': 1.5},
        'train.ema_decay: 1.5; expected a number below 1',
    ),
    (
        'a string as warmup_iter',
        {'train__warmup_iter': 'no'},
        "train.warmup_iter: 'no'; expected a whole number from -1 on",
    ),
    (
        'an unknown optimizer',
        {'train__optim_g__type': 'Adma'},
        "train.optim_g.type: 'Adma'; this BasicSR has Adam",
    ),
    (
        '1e-4, which is a string',
        {'train__optim_g__lr': '1e-4'},
        "train.optim_g.lr: '1e-4'; expected a number from 0 on; '1e-4' is a string",
    ),
    (
        'a negative lr',
        {'train__optim_g__lr': -1.0},
        'train.optim_g.lr: -1.0; expected a number from 0 on',
    ),
    ('no lr', {'train__optim_g__lr': None}, 'train.optim_g.lr: None; expected a number from 0 on'),
    (
        'a list as weight_decay',
        {'train__optim_g__weight_decay': [1]},
        'train.optim_g.weight_decay: [1]; expected a number from 0 on',
    ),
    ('no optimizer', {'train__optim_g': GONE}, 'train.optim_g: missing'),
    (
        'an unknown schedule',
        {'train__scheduler__type': 'Step'},
        "train.scheduler.type: 'Step'; this BasicSR has MultiStepLR, ",
    ),
    (
        'a schedule without milestones',
        {'train__scheduler__milestones': GONE},
        "train.scheduler: 'MultiStepLR' cannot be built: TypeError",
    ),
    (
        'milestones without brackets',
        {'train__scheduler__milestones': '250000, 400000'},
        "train.scheduler.milestones: '250000, 400000'; expected a list of iterations, ",
    ),
    (
        'milestones that are strings',
        {'train__scheduler__milestones': ['250e3', '400e3']},
        "train.scheduler.milestones: ['250e3', '400e3']; expected a list of iterations, whole "
        "numbers from 1 on; '250e3' is a string: YAML needs a dot and a sign in such a number, "
        'as in 1.0e-4 or 1.0e+5',
    ),
    (
        'milestones that are nothing',
        {'train__scheduler__milestones': None},
        'train.scheduler.milestones: None; expected a list of iterations',
    ),
    (
        'half a milestone',
        {'train__scheduler__milestones': [1.5]},
        'train.scheduler.milestones: [1.5]; expected a list of iterations',
    ),
    (
        'a negative period',
        {
            'train__scheduler': {
                'type': 'CosineAnnealingRestartLR',
                'periods': [-1, 5],
                'restart_weights': [1, 1],
            }
        },
        'train.scheduler.periods: [-1, 5]; expected a list of iterations, whole numbers from 1 on',
    ),
    (
        '1e-7, which is a string',
        {
            'train__scheduler': {
                'type': 'CosineAnnealingRestartLR',
                'periods': [5],
                'eta_min': '1e-7',
            }
        },
        "train.scheduler.eta_min: '1e-7'; expected a number from 0 on; '1e-7' is a string",
    ),
    ('no pixel_opt', {'train__pixel_opt': GONE}, 'train.pixel_opt: missing'),
    (
        '1e-1 as the weight of a loss',
        {'train__pixel_opt__loss_weight': '1e-1'},
        "train.pixel_opt.loss_weight: '1e-1'; expected a number; '1e-1' is a string: YAML needs",
    ),
    (
        'no weight of a loss',
        {'train__distill_opt__loss_weight': None},
        'train.distill_opt.loss_weight: None; expected a number',
    ),
    (
        '1e-12 in a loss',
        {'train__pixel_opt': {'type': 'CharbonnierLoss', 'eps': '1e-12'}},
        'train.pixel_opt: CharbonnierLoss fails for images of the shape (2, 3, 32, 32): TypeError',
    ),
    (
        'a loss that is an image',
        {'train__pixel_opt__reduction': 'none'},
        'train.pixel_opt: L1Loss gives a tensor of the shape (2, 3, 32, 32); expected a single',
    ),
    (
        'a student of another scale',
        {'network_g__upscale': 4},
        'network_g: output (1, 3, 64, 64) for input (1, 3, 16, 16); scale is 2, expected',
    ),
    (
        'a student with a number that is a string',
        {'network_g__res_scale': '1e-1'},
        'network_g: EDSR fails for input (1, 3, 16, 16): ',
    ),
    (
        'a student of grey images',
        {'network_g__num_in_ch': 1},
        'network_g: EDSR fails for input (1, 3, 16, 16): ',
    ),
    (
        'an upsampler that SwinIR has not',
        {'network_g': tiny('SwinIR', 2, upsampler='pixelshufle')},
        'network_g: output (1, 3, 16, 16) for input (1, 3, 16, 16); scale is 2, expected',
    ),
    (
        'a fusion network as the student',
        {'network_g': tiny('DCTSwin', 2)},
        'network_g: DCTSwin fails for input (1, 3, 16, 16): ',
    ),
    (
        'a number as a position',
        {'train__kd': {'type': 'AT', 'teacher': 'edsr', 'student_features': [1]}},
        'train.kd.student_features: 1; expected the path of a module, a string',
    ),
    (
        'kd beside train',
        {'kd': {'type': 'MTKD', 'also': ['AT']}},
        'kd: unknown key; it belongs to another section: train.kd',
    ),
    (
        'a cache beside datasets',
        {'target_cache': 'x.lmdb'},
        'target_cache: unknown key; it belongs to another section: datasets.train.target_cache',
    ),
    (
        'a cache in path',
        {'path__target_cache': 'x.lmdb'},
        'path.target_cache: unknown key; it belongs to another section: datasets.train.',
    ),
    (
        'a folder for experiments, which BasicSR has no option for',
        {'path__experiments_root': '/mnt/big/experiments'},
        "path.experiments_root: '/mnt/big/experiments'; BasicSR does not read it",
    ),
    (
        'a folder for models, which BasicSR has no option for',
        {'path__models': '~/models'},
        "path.models: '~/models'; BasicSR does not read it, and would write into '",
    ),
    (
        'val_freq in logger',
        {'logger__val_freq': 3},
        'logger.val_freq: unknown key; it belongs to another section: val.val_freq',
    ),
    (
        'an unknown loss',
        {'train__distill_opt__type': 'WaveletLos'},
        "train.distill_opt.type: unknown loss 'WaveletLos'; known: ",
    ),
    (
        'an argument that the loss has not',
        {'train__distill_opt__levle': 2},
        'train.distill_opt: WaveletLoss cannot be built: ',
    ),
    (
        'a negative level',
        {'train__distill_opt__level': -1},
        'train.distill_opt: WaveletLoss cannot be built: ',
    ),
    (
        'a string as a loss',
        {'train__pixel_opt': 'L1Loss'},
        "train.pixel_opt: 'L1Loss'; expected a mapping",
    ),
    (
        'perceptual_opt',
        {'train__perceptual_opt': {'type': 'PerceptualLoss'}},
        'train.perceptual_opt: distillation has no perceptual loss',
    ),
    (
        'no distill_opt',
        {'train__distill_opt': GONE},
        'train.distill_opt: missing',
    ),
    (
        'an unknown method',
        {'train__kd': {'type': 'fadk'}},
        "train.kd.type: unknown method 'fadk'; known: ",
    ),
    (
        'an unknown key of a method',
        {'train__kd': {'type': 'MTKD', 'wieght': 1}},
        "train.kd: unknown key 'wieght'; known: ",
    ),
    ('a string as kd', {'train__kd': 'MTKD'}, "train.kd: 'MTKD'; expected a mapping"),
    (
        'a method that adds nothing',
        {'train__kd': {'type': 'MTKD', 'also': ['MTKD']}},
        "train.kd.also[0]: 'MTKD' adds nothing to MTKD",
    ),
    (
        'a string instead of a list of methods',
        {'train__kd': {'type': 'MTKD', 'also': 'DUKD'}},
        "train.kd.also: 'DUKD'; expected a list",
    ),
    (
        'amp that is none',
        {'train__amp': 'fp16'},
        "train.amp: 'fp16'; known: auto, bf16, fp32 (did you mean 'bf16'?); nothing (~) is fp32",
    ),
    ('a number as amp', {'train__amp': 16}, 'train.amp: 16; expected a string or nothing (~)'),
    (
        'a precision that is none',
        {'train__teacher_precision': 'fp23'},
        "train.teacher_precision: 'fp23'; known: auto, bf16, fp32 (did you mean 'fp32'?); nothing "
        '(~) is auto on a GPU and fp32 on a CPU',
    ),
    (
        'negative max_skipped',
        {'train__max_skipped': -1},
        'train.max_skipped: -1; expected a number of steps, from 0 on',
    ),
    (
        'a print_freq of 0',
        {'logger__print_freq': 0},
        'logger.print_freq: 0; expected a number from 1 on',
    ),
    (
        'no save_checkpoint_freq',
        {'logger__save_checkpoint_freq': GONE},
        'logger.save_checkpoint_freq: missing',
    ),
    (
        'keep_last of 0',
        {'logger__keep_last': 0},
        'logger.keep_last: 0; expected a number of checkpoints, from 1 on',
    ),
    ('a negative tile', {'val__tile': -1}, 'val.tile: -1; expected a number of pixels from 1 on'),
    ('a list as metrics', {'val__metrics': ['psnr']}, "val.metrics: ['psnr']; expected a mapping"),
    (
        'an unknown metric',
        {'val__metrics': {'psnr': {'type': 'psnr'}}},
        "val.metrics.psnr.type: unknown metric 'psnr'; known: ",
    ),
    (
        'a metric without its border',
        {'val__metrics__psnr__crop_border': GONE},
        'val.metrics.psnr.crop_border: None; expected a whole',
    ),
    (
        'no teachers',
        {'teachers': GONE},
        'teachers: None; expected a mapping of names to a network and its weights',
    ),
    (
        'a list of teachers',
        {'teachers': ['edsr.pth']},
        "teachers: ['edsr.pth']; expected a mapping",
    ),
    (
        'a teacher that is a string',
        {'teachers__edsr': 'edsr.pth'},
        "teachers.edsr: 'edsr.pth'; expected a mapping",
    ),
    (
        'a teacher without weights',
        {'teachers__edsr__weights': GONE},
        "teachers.edsr: key 'weights' is missing",
    ),
    (
        'a number as weights of a teacher',
        {'teachers__edsr__weights': 3},
        'teachers.edsr.weights: 3; expected a string',
    ),
    (
        'an unknown key of a teacher',
        {'teachers__edsr__wieghts': 'x'},
        "teachers.edsr: unknown key 'wieghts'; known: ",
    ),
    (
        'an unknown arch of a teacher',
        {'teachers__edsr__network__type': 'EDRS'},
        "teachers.edsr.network.type: unknown arch 'EDRS'; known: ",
    ),
    (
        'a teacher of another scale',
        {'teachers__edsr__network__upscale': 3},
        'teachers.edsr.weights:',
    ),
    ('no fusion', {'fusion': GONE}, 'fusion: missing'),
    ('a string as fusion', {'fusion': 'fusion.pth'}, "fusion: 'fusion.pth'; expected a mapping"),
    (
        'a fusion of two teachers',
        {'fusion__network__in_chans': 6},
        'fusion.network.in_chans: 6; expected 9, 3 for each of the 3 teachers',
    ),
    (
        'a cache for another dataset',
        {'datasets__train__target_cache': 'x.lmdb'},
        'expected DistillImageDataset',
    ),
]
OF_KINDS = {
    'no folder of images': DataError,
    'a file as folder of images': DataError,
    'gt_size above the images': DataError,
    'a teacher of another scale': WeightsError,
}

FORCED = [
    ('train:total_iter', "--force_yml: 'train:total_iter'; expected KEY=VALUE"),
    (
        'path:pretrain_network_g=a=b',
        "--force_yml: 'path:pretrain_network_g=a=b'; expected KEY=VALUE",
    ),
    ('=3', "--force_yml: '=3'; expected KEY=VALUE"),
    ('train:totl_iter=3', "no key 'totl_iter' in the option file; known: "),
    ('trian:total_iter=3', "no key 'trian' in the option file; known: "),
    ('scale:x=3', "scale is 2; expected a mapping with the key 'x'"),
    ('train::total_iter=3', "--force_yml: 'train::total_iter=3'; expected KEY=VALUE"),
    ('name"]+open("EXECUTED","w").name+opt["name=x', '; expected KEY=VALUE'),
    ('train:total_iter=[__import__("os").system("touch_EXECUTED")]', "the value '[__import__"),
    ('train:total_iter=[1,', "the value '[1,' cannot be read"),
    (
        'train:total_iter=!!floatx',
        "the value '!!floatx' cannot be read (could not convert string to float: 'x')",
    ),
    ('train=~', 'train: missing'),
    ('train:total_iter=-3', 'train.total_iter: -3; expected a number from 1 on'),
]

# What the file is, how it is made, part of the text.
WEIGHTS = [
    ('no file', lambda: os.remove('edsr.pth'), "no file 'edsr.pth'"),
    ('a folder', folder_at('edsr.pth'), "no file 'edsr.pth'"),
    ('zero bytes', raw(b'', 'edsr.pth'), "'edsr.pth' cannot be read as weights: it is empty"),
    (
        'cut off',
        cut('edsr.pth'),
        "'edsr.pth' cannot be read as weights: it was cut off: download or copy it again",
    ),
    (
        'a text',
        raw('weights\n', 'edsr.pth'),
        "'edsr.pth' cannot be read as weights: it was not written by torch.save",
    ),
    (
        'a pickle that runs code',
        saved('edsr.pth', {'params': RunsCode()}),
        "'edsr.pth' cannot be read as weights: it would call posix.system, and is not executed",
    ),
    (
        'an old pickle that runs code',
        saved('edsr.pth', {'params': RunsCode()}, _use_new_zipfile_serialization=False),
        "'edsr.pth' cannot be read as weights: it would call posix.system, and is not executed",
    ),
    ('an empty mapping', saved('edsr.pth', {}), "'edsr.pth' holds dict; expected a state dict"),
    ('a list', saved('edsr.pth', [1, 2]), "'edsr.pth' holds list; expected a state dict"),
    (
        'a training state',
        saved('edsr.pth', {'params': {'iter': 3}}),
        "'edsr.pth' holds no state dict; its first keys are params",
    ),
    ('another arch', weights('edsr.pth', 'RCAN'), "'edsr.pth' does not fit EDSR: "),
    (
        'another width',
        weights('edsr.pth', 'EDSR', num_feat=4),
        'does not fit EDSR: num_feat: 4 in the file, 8 in the network',
    ),
    (
        'another scale',
        weights('edsr.pth', 'EDSR', 3),
        'does not fit EDSR: upscale: 3 in the file, 2 in the network',
    ),
    (
        'shapes of no network',
        saved(
            'edsr.pth',
            {
                'params': {
                    'conv_first.weight': torch.zeros(1, 1, 1, 1),
                    'body.0.conv1.weight': torch.zeros(1),
                    'upsample.0.weight': torch.zeros(2),
                }
            },
        ),
        "'edsr.pth' does not fit EDSR: ",
    ),
    (
        'numbers that are none',
        with_value(float('nan')),
        'conv_first.weight contains NaN',
    ),
    (
        'an infinite number',
        with_value(float('-inf')),
        'conv_first.weight contains Inf: the training that wrote it diverged',
    ),
    (
        'nonsense about itself',
        saved('edsr.pth', {'params': {'a': torch.zeros(1)}, 'mtkd': 7}),
        'mtkd is not what mtkd_basicsr writes into a checkpoint',
    ),
]

ROWS = [
    *(
        Row(
            f'option file: {what}',
            TRAIN,
            OptionError,
            text,
            (lambda: None) if content is None else content if callable(content) else raw(content),
        )
        for what, content, text in FILES
    ),
    *(
        Row(f'options: {what}', TRAIN, OptionError, text, options(**changes))
        for what, changes, text in STRUCTURE
    ),
    *(
        Row(f'options: {what}', TRAIN, OF_KINDS.get(what, OptionError), text, options(**changes))
        for what, changes, text in VALUES
    ),
    *(
        Row(f'--force_yml {entry}', f'{TRAIN} --force_yml {entry}', OptionError, text, options())
        for entry, text in FORCED
    ),
    *(
        Row(
            f'weights of a teacher: {what}',
            TRAIN,
            WeightsError,
            f'teachers.edsr.weights: {text}' if text.startswith("'") or 'no file' in text else text,
            both(named_as_in_the_options, options(teachers__edsr__weights='edsr.pth'), make),
        )
        for what, make, text in WEIGHTS
    ),
    *(
        Row(
            f'weights to test, {model}: {what}',
            TEST,
            WeightsError,
            text,
            both(
                named_as_in_the_options,
                options(model, 'test', path__pretrain_network_g='edsr.pth'),
                make,
            ),
        )
        for model in ('KDModel', 'SRModel')
        for what, make, text in WEIGHTS
    ),
    Row(
        'test: a folder for results, which BasicSR has no option for',
        TEST,
        OptionError,
        "path.results_root: 'mine'; BasicSR does not read it, and would write into '",
        both(
            named_as_in_the_options,
            options(
                'KDModel', 'test', path__pretrain_network_g='edsr.pth', path__results_root='mine'
            ),
        ),
    ),
    *(
        Row(
            f'weights to enlarge with: {what}',
            'upscale cat.png --weights edsr.pth -opt options.yml',
            WeightsError,
            text,
            both(named_as_in_the_options, options(), make),
        )
        for what, make, text in WEIGHTS
    ),
    Row(
        'options: a teacher that is missing in the fusion',
        TRAIN,
        OptionError,
        'fusion.network.in_chans: 9; expected 6',
        options(teachers__edsr=GONE),
    ),
    Row(
        'options: mix_batches without a mix',
        TRAIN,
        OptionError,
        'train.mix_batches: 3, but network_g.skip is',
        options('MTKDFusionModel', train__mix_batches=3, network_g__skip='mean'),
    ),
    Row(
        'options: a mix of its own for a trained fusion network',
        TRAIN,
        OptionError,
        "train.mix_batches: 3, but path.pretrain_network_g is 'fusion_x2.pth', and the rest of a",
        options(
            'MTKDFusionModel',
            train__mix_batches=3,
            network_g__skip='adaptive',
            path__pretrain_network_g='fusion_x2.pth',
        ),
    ),
    Row(
        'options: a fusion network of grey images',
        TRAIN,
        OptionError,
        'network_g: DCTSwin cannot be built: DCTSwin: num_out_ch: 1; expected 3, an RGB image',
        options('MTKDFusionModel', network_g__num_out_ch=1),
    ),
    *(
        Row(
            f'options: {key} for a model of BasicSR',
            TRAIN,
            OptionError,
            f"model_type: 'SRModel', which does not read {key.replace('__', '.')}; expected MTKD",
            options('SRModel', **{key: value}),
        )
        for key, value in {
            'teachers': {'edsr': {'network': tiny('EDSR', 2), 'weights': 'edsr.pth'}},
            'fusion': {'weights': 'fusion_x2.pth'},
            'train__kd': {'type': 'LogitKD'},
            'train__distill_opt': {'type': 'L1Loss'},
        }.items()
    ),
    Row(
        'options: amp in stage 1',
        TRAIN,
        OptionError,
        "train.amp: 'bf16'; this key is for students",
        options('MTKDFusionModel', train__amp='bf16'),
    ),
    Row(
        'options: amp that depends on the machine in stage 1',
        TRAIN,
        OptionError,
        "train.amp: 'auto'; this key is for students",
        options('MTKDFusionModel', train__amp='auto'),
    ),
    Row(
        'options: two teachers for one place',
        TRAIN,
        OptionError,
        'network_g.in_chans: 9; expected 6',
        options('MTKDFusionModel', teachers__edsr=GONE),
    ),
    Row(
        'options: a folder as teacher without cache',
        TRAIN,
        OptionError,
        'teachers.edsr.images: images in a folder are used through a cache',
        options('MTKDFusionModel', teachers__edsr={'images': 'val/GT'}),
    ),
    Row(
        'options: a method without its teachers',
        TRAIN,
        OptionError,
        'teachers: None; expected a mapping',
        options('KDModel', train__kd={'type': 'FAKD'}),
    ),
    Row(
        'options: features that are not there',
        TRAIN,
        OptionError,
        'train.kd.student_features',
        both(
            named_as_in_the_options,
            options(
                'KDModel',
                train__kd={
                    'type': 'FAKD',
                    'student_features': ['nowhere'],
                    'teacher_features': ['body'],
                },
                teachers={'edsr': {'network': tiny('EDSR', 2), 'weights': 'edsr.pth'}},
            ),
        ),
    ),
    Row(
        'options: a plan for a training',
        TRAIN,
        OptionError,
        "'options.yml' is the plan of a comparison; use it with: mtkd compare -opt options.yml",
        raw('name: x\nscales: [2]\n'),
    ),
    Row(
        'a file in the place of experiments/',
        TRAIN,
        OptionError,
        'experiments: is a file; expected a folder for the results',
        both(options(), raw('', 'experiments')),
    ),
    Row(
        'a state that is not there',
        TRAIN,
        WeightsError,
        "path.resume_state: no file 'gone.state'",
        options(path__resume_state='gone.state'),
    ),
    Row(
        'a state that runs code',
        TRAIN,
        WeightsError,
        "path.resume_state: 'evil.state' cannot be read",
        both(options(path__resume_state='evil.state'), saved('evil.state', {'iter': RunsCode()})),
    ),
    Row(
        '--safe: a call',
        f'{TRAIN} --safe',
        OptionError,
        "line 2, column 4: '!!python/object/apply:os.system' would import and call os.system; with "
        '--safe',
        raw('name: x\nx: !!python/object/apply:os.system ["touch EXECUTED"]\n'),
    ),
    Row(
        '--safe: a name',
        f'{CHECK} --safe',
        OptionError,
        "line 1, column 7: '!!python/name:os.path.join' would import os.path.join",
        raw('mine: !!python/name:os.path.join\n'),
    ),
    Row(
        '--safe: a module',
        f'{CACHE} --safe',
        OptionError,
        "'!!python/module:antigravity' would import antigravity",
        raw('mine: !!python/module:antigravity\n'),
    ),
    Row(
        '--safe: an object',
        f'{TEST} --safe',
        OptionError,
        "'!!python/object/new:subprocess.Popen' would import and call subprocess.Popen",
        raw('a: [{b: !!python/object/new:subprocess.Popen [touch EXECUTED]}]\n'),
    ),
    Row(
        '--safe: a tuple',
        f'{TRAIN} --safe',
        OptionError,
        "'!!python/tuple' would create a Python object",
        raw('a: !!python/tuple [1]\n'),
    ),
    Row(
        '--safe: a call in a plan',
        'compare -opt plan.yml --safe',
        OptionError,
        'would import and call os.system',
        raw('name: !!python/object/apply:os.system ["touch EXECUTED"]\n', 'plan.yml'),
    ),
    Row(
        '--safe: a call, to enlarge',
        'upscale cat.png --weights student.pth -opt options.yml --safe',
        OptionError,
        'would import and call os.system',
        raw('scale: !!python/object/apply:os.system ["touch EXECUTED"]\n'),
    ),
    Row(
        '--safe: a call, to export',
        'export --format safetensors -opt options.yml --safe',
        OptionError,
        'would import and call os.system',
        raw('path: !!python/object/apply:os.system ["touch EXECUTED"]\n'),
    ),
    *(
        Row(f'options of a test: {what}', TEST, kind, text, options('KDModel', 'test', **changes))
        for what, changes, kind, text in [
            ('no val', {'val': GONE}, OptionError, 'val: missing'),
            ('no datasets', {'datasets': {}}, OptionError, 'datasets: missing'),
            ('no scale', {'scale': GONE}, OptionError, 'scale: None; expected a whole number'),
            (
                'an unknown model',
                {'model_type': 'SRModle'},
                OptionError,
                "model_type: 'SRModle'; known: ",
            ),
            (
                'an unknown arch',
                {'network_g__type': 'EDRS'},
                OptionError,
                "network_g.type: unknown arch 'EDRS'",
            ),
            (
                'an unknown metric',
                {'val__metrics__psnr__type': 'psnr'},
                OptionError,
                "unknown metric 'psnr'",
            ),
            (
                'no folder',
                {'datasets__test__dataroot_lq': 'gone'},
                DataError,
                "datasets.test.dataroot_lq: no folder 'gone'",
            ),
            (
                'an unknown dataset',
                {'datasets__test__type': 'Pairs'},
                OptionError,
                "datasets.test.type: unknown dataset 'Pairs'; known: ",
            ),
            (
                'images of another scale',
                {
                    'datasets__test__dataroot_gt': 'val/LRx2',
                    'datasets__test__dataroot_lq': 'val/GT',
                },
                DataError,
                'ground truths are not 2 times as large as their low-resolution images',
            ),
        ]
    ),
    Row(
        'weights to test: no such entry',
        TEST,
        WeightsError,
        "'bare.pth' has no 'params'; it has ",
        both(
            lambda: write_weights('bare.pth', tiny('EDSR', 2), key=None),
            options('KDModel', 'test', path__pretrain_network_g='bare.pth'),
        ),
    ),
    Row(
        'weights to test: safetensors with a wrong head',
        TEST,
        WeightsError,
        "'x.safetensors' cannot be read as weights: ",
        both(
            raw(b'\xff' * 64, 'x.safetensors'),
            options('KDModel', 'test', path__pretrain_network_g='x.safetensors'),
        ),
    ),
    Row(
        'weights that need not fit, and run code',
        TEST,
        WeightsError,
        'it would call posix.system, and is not executed',
        both(
            saved('evil.pth', RunsCode()),
            options(
                'KDModel', 'test', path__pretrain_network_g='evil.pth', path__strict_load_g=False
            ),
        ),
    ),
    Row(
        'weights that need not fit, and run code, for a model of BasicSR',
        TEST,
        WeightsError,
        'it would call posix.system, and is not executed',
        both(
            saved('evil.pth', RunsCode()),
            options(
                'SRModel', 'test', path__pretrain_network_g='evil.pth', path__strict_load_g=False
            ),
        ),
    ),
    Row(
        'a file in the place of results/',
        TEST,
        OptionError,
        'results: is a file; expected a folder for the results',
        both(options('KDModel', 'test'), raw('', 'results')),
    ),
    Row(
        'weights of the fusion: cut off',
        TRAIN,
        WeightsError,
        "fusion.weights: 'fusion_x2.pth' cannot be read as weights: ",
        both(options(), cut('fusion_x2.pth')),
    ),
    Row(
        'weights of the fusion: teachers that are numbers',
        TRAIN,
        WeightsError,
        "fusion.weights: 'fusion_x2.pth': mtkd.teachers is not what",
        both(
            options(),
            lambda: write_weights(
                'fusion_x2.pth', tiny('DCTSwin', 2), mtkd={'teachers': [1, 2, 3]}
            ),
        ),
    ),
    Row(
        'weights of the fusion: other teachers',
        TRAIN,
        OptionError,
        'teachers: swinir, edsr, rcan; the fusion network',
        both(
            options(),
            lambda: write_weights(
                'fusion_x2.pth', tiny('DCTSwin', 2), mtkd={'teachers': ['a', 'b', 'c']}
            ),
        ),
    ),
    Row(
        'weights to start from: cut off',
        TRAIN,
        WeightsError,
        "path.pretrain_network_g: 'student.pth' cannot be read",
        both(options(path__pretrain_network_g='student.pth'), cut('student.pth')),
    ),
    Row(
        'weights to start from: of another arch',
        TRAIN,
        WeightsError,
        "path.pretrain_network_g: 'RCAN_x2.pth' does not fit EDSR",
        options(path__pretrain_network_g='RCAN_x2.pth'),
    ),
    Row(
        'weights to start from: none',
        TRAIN,
        WeightsError,
        "path.pretrain_network_g: no file 'gone.pth'",
        options(path__pretrain_network_g='gone.pth'),
    ),
    *(
        Row(
            f'weights that need not fit, {what}, of a teacher',
            command,
            WeightsError,
            f"teachers.edsr.weights: 'EDSR_x2.pth' {text}",
            both(options(**CACHED, teachers__edsr__strict=False), changed('EDSR_x2.pth', change)),
        )
        for command in (TRAIN, CACHE)
        for what, change, text in PARTIAL
    ),
    *(
        Row(
            f'weights that need not fit, {what}, to start from',
            TRAIN,
            WeightsError,
            f"path.pretrain_network_g: 'EDSR_x2.pth' {text}",
            both(
                options(path__pretrain_network_g='EDSR_x2.pth', path__strict_load_g=False),
                changed('EDSR_x2.pth', change),
            ),
        )
        for what, change, text in PARTIAL
    ),
    *(
        Row(
            f'weights that need not fit, {what}, to test, {model}',
            TEST,
            WeightsError,
            f"path.pretrain_network_g: 'EDSR_x2.pth' {text}",
            both(
                options(
                    model,
                    'test',
                    path__pretrain_network_g='EDSR_x2.pth',
                    path__strict_load_g=False,
                ),
                changed('EDSR_x2.pth', change),
            ),
        )
        for model in ('KDModel', 'SRModel')
        for what, change, text in PARTIAL
    ),
    *(
        # Its own models take off module. alone, and would test random weights.
        Row(
            f'wrapped weights to test with a model of BasicSR, strict: {strict}',
            TEST,
            WeightsError,
            f"path.pretrain_network_g: 'EDSR_x2.pth' does not fit EDSR: {text}",
            both(
                options(
                    'SRModel',
                    'test',
                    path__pretrain_network_g='EDSR_x2.pth',
                    path__strict_load_g=strict,
                ),
                changed('EDSR_x2.pth', wrapped),
            ),
        )
        for strict, text in ((True, 'conv_first.weight: only in'), (False, 'it has 0 of the 12'))
    ),
    Row(
        'weights that need not fit, of the fusion',
        TRAIN,
        WeightsError,
        "fusion.weights: 'EDSR_x2.pth' does not fit DCTSwin: it has ",
        options(fusion__weights='EDSR_x2.pth', fusion__strict=False),
    ),
    *(
        Row(
            f'no weights to test, {model}',
            TEST,
            OptionError,
            'path.pretrain_network_g: missing; without trained weights the test would measure',
            options(model, 'test', path__pretrain_network_g=None),
        )
        for model in ('KDModel', 'SRModel')
    ),
    Row(
        'weights to test: an entry that is misspelled',
        TEST,
        WeightsError,
        "'student.pth' has no 'parms'; it has params, mtkd",
        options(
            'KDModel', 'test', path__pretrain_network_g='student.pth', path__param_key_g='parms'
        ),
    ),
    Row(
        'a training state as a teacher',
        TRAIN,
        WeightsError,
        "teachers.edsr.weights: '5.state' is the training state of iteration 5, which has no",
        both(
            options(teachers__edsr__weights='5.state'),
            saved('5.state', {'epoch': 1, 'iter': 5, 'optimizers': [], 'schedulers': []}),
        ),
    ),
    Row(
        'a number beside the tensors of a teacher',
        TRAIN,
        WeightsError,
        "'edsr.pth' holds no state dict; beside tensors there is epoch (int); save tensors alone",
        both(
            options(teachers__edsr__weights='edsr.pth'),
            saved('edsr.pth', {'conv_first.weight': torch.zeros(1), 'epoch': 3}),
        ),
    ),
    Row(
        'a position behind the upsampling',
        TRAIN,
        OptionError,
        "train.kd.student_features: 'upsample' of EDSR has the shape (1, 8, 32, 32); expected (b, "
        'c, 16, 16)',
        options(
            train__kd={
                'type': 'AT',
                'teacher': 'edsr',
                'student_features': ['upsample'],
                'teacher_features': ['body.0'],
            }
        ),
    ),
    *(
        Row(f'resuming: {what}', TRAIN, kind, text, both(options(**changes), make))
        for what, kind, changes, make, text in [
            (
                'no file',
                WeightsError,
                {'path__resume_state': '5.state'},
                lambda: None,
                "path.resume_state: no file '5.state'",
            ),
            (
                'weights',
                WeightsError,
                {'path__resume_state': 'student.pth'},
                lambda: None,
                "path.resume_state: 'student.pth' is not a training state of BasicSR: it has no ",
            ),
            (
                'too late',
                OptionError,
                {'path__resume_state': '5.state', 'train__total_iter': 3},
                state_of_a_training(),
                "train.total_iter: 3, but '5.state', which the training would go on from",
            ),
            (
                'no network',
                WeightsError,
                {'path__resume_state': '5.state', 'train__total_iter': 9},
                state_of_a_training(),
                "path.resume_state: '5.state' needs '",
            ),
            (
                'another network',
                WeightsError,
                {'path__resume_state': 'x/states/5.state', 'train__total_iter': 9},
                state_of_a_training('x/states', num_feat=4),
                "net_g_5.pth' does not fit EDSR: num_feat: 4 in the file, 8 in the network",
            ),
        ]
    ),
    Row(
        'a teacher that does not record its network',
        TRAIN,
        OptionError,
        "teachers.edsr.network: missing; 'EDSR_x2.pth' does not record its network",
        options(teachers__edsr__network=GONE),
    ),
    Row(
        'a fusion that does not record its network',
        TRAIN,
        OptionError,
        "fusion.network: missing; 'fusion_x2.pth' does not record its network",
        options(fusion__network=GONE),
    ),
    *(
        Row(f'images: {what}', command, DataError, text, both(options(**CACHED), make))
        for command in (TRAIN, CACHE)
        for what, make, text in [
            (
                'zero bytes',
                raw(b'', 'train/LRx2/moon.png'),
                "'train/LRx2/moon.png' cannot be read as an image",
            ),
            (
                'a text',
                raw('moon', 'train/GT/moon.png'),
                "'train/GT/moon.png' cannot be read as an image",
            ),
            (
                'cut off',
                cut('train/GT/moon.png'),
                "'train/GT/moon.png' is truncated: its end is missing",
            ),
            (
                'a folder',
                folder_at('train/GT/moon.png'),
                'lq and gt datasets have different number of images: 3, 2.',
            ),
            (
                'one is missing',
                lambda: os.remove('train/LRx2/moon.png'),
                'lq and gt datasets have different number of images: 2, 3.',
            ),
            (
                'another name',
                lambda: os.rename('train/LRx2/moon.png', 'train/LRx2/sun.png'),
                'moon.png is not in lq_paths.',
            ),
            (
                'a link to nothing',
                both(
                    lambda: os.remove('train/LRx2/moon.png'),
                    lambda: os.symlink('gone.png', 'train/LRx2/moon.png'),
                ),
                'lq and gt datasets have different number of images: 2, 3.',
            ),
        ]
    ),
    Row(
        'images: another scale',
        TRAIN,
        DataError,
        'rocket.png 96×120, low-resolution 32×40',
        options(datasets__train__dataroot_lq='train/LRx3'),
    ),
    Row(
        'images: another scale',
        CACHE,
        DataError,
        'pixels, and 32×40 in the low-resolution image; scale is 2',
        options(**CACHED, datasets__train__dataroot_lq='train/LRx3'),
    ),
    Row(
        'images: no multiple of the scale',
        CACHE,
        DataError,
        'train/GT/moon.png: 95×120 pixels; expected multiples of the scale, 2',
        both(options(**CACHED), picture('train/GT/moon.png', np.zeros((95, 120, 3), np.uint8))),
    ),
    Row(
        'images: an empty folder',
        TRAIN,
        DataError,
        "datasets.val.dataroot_gt: 'empty' has no images",
        both(
            lambda: os.mkdir('empty'),
            options(datasets__val__dataroot_gt='empty', datasets__val__dataroot_lq='empty'),
        ),
    ),
    Row(
        'cache: none is named',
        CACHE,
        OptionError,
        'datasets.train.target_cache: missing',
        options(),
    ),
    Row(
        'cache: no teachers',
        CACHE,
        OptionError,
        'teachers: None; expected a mapping',
        options(**CACHED, teachers=GONE),
    ),
    Row(
        'cache: weights that run code',
        CACHE,
        WeightsError,
        "teachers.edsr.weights: 'EDSR_x2.pth' cannot be read as weights: it would call "
        'posix.system',
        both(options(**CACHED), saved('EDSR_x2.pth', RunsCode())),
    ),
    Row(
        'cache: a tile of 0',
        f'{CACHE} --tile 0',
        USAGE,
        "argument --tile: '0'; expected a whole number from 1 on",
        options(**CACHED),
    ),
    Row(
        'cache: negative workers',
        f'{CACHE} --workers -2',
        USAGE,
        "argument --workers: '-2'; expected a whole number from 0 on",
    ),
    Row(
        'cache: an overlap as large as the tile',
        f'{CACHE} --tile 16 --tile-overlap 16',
        OptionError,
        '--tile-overlap: 16; expected a whole number from 0 on',
    ),
    Row(
        'cache: an unknown device',
        f'{CACHE} --device gpu',
        OptionError,
        "--device: 'gpu'; expected auto, cpu, cuda",
        options(**CACHED),
    ),
    Row(
        'cache: an unknown kind',
        f'{CACHE} --what teacher',
        USAGE,
        "argument --what: invalid choice: 'teacher'",
    ),
    Row('nothing', '', USAGE, 'the following arguments are required: COMMAND'),
    Row(
        'cache: an unknown precision',
        f'{CACHE} --precision fp16',
        USAGE,
        "argument --precision: invalid choice: 'fp16'",
    ),
    Row('an unknown command', 'trian', USAGE, "invalid choice: 'trian'"),
    *(
        Row(
            f'{name}: no option file named',
            name,
            USAGE,
            'the following arguments are required: -opt',
        )
        for name in ('train', 'test', 'cache', 'check', 'compare')
    ),
    Row(
        'train: an unknown argument', f'{TRAIN} --resume', USAGE, 'unrecognized arguments: --resume'
    ),
    Row(
        'train: an unknown launcher',
        f'{TRAIN} --launcher mpi',
        USAGE,
        "argument --launcher: invalid choice: 'mpi'",
    ),
    Row(
        'train: a rank that is a string',
        f'{TRAIN} --local_rank x',
        USAGE,
        "argument --local_rank/--local-rank: invalid int value: 'x'",
    ),
    Row(
        'train: --force_yml without anything',
        f'{TRAIN} --force_yml',
        USAGE,
        'expected at least one argument',
    ),
    *(
        Row(f'compare: {what}', f'compare -opt plan.yml {arguments}', kind, text, plan(**changes))
        for what, changes, kind, text, arguments in [
            ('no jobs', {}, OptionError, '--jobs: 0; expected 1 or more', '--jobs 0'),
            (
                'an unknown run',
                {},
                OptionError,
                "--only: no run 'EDSR' in the plan; known: ",
                '--only EDSR',
            ),
            ('two things at once', {}, USAGE, 'not allowed with argument', '--list --report-only'),
            ('a file as --out', {}, OptionError, "--out: '", '--out file'),
            (
                'a name with folders',
                {'name': '../x'},
                OptionError,
                "name: '../x'; expected a name for a folder",
                '',
            ),
            (
                'no scales',
                {'scales': []},
                OptionError,
                'scales: []; expected different whole numbers from 1 on',
                '',
            ),
            (
                'a negative lq_size',
                {'lq_size': -1},
                OptionError,
                'lq_size: -1; expected a number of pixels from 1 on',
                '',
            ),
            (
                'a list of students',
                {'students': ['EDSR']},
                OptionError,
                "students: ['EDSR']; expected a mapping",
                '',
            ),
            (
                'an unknown key',
                {'studnets': {}},
                OptionError,
                "plan: unknown key 'studnets'; known: ",
                '',
            ),
            (
                'an unknown baseline',
                {'baseline': 'mtkd'},
                OptionError,
                "baseline: 'mtkd'; known: scratch",
                '',
            ),
            (
                'a test set without a folder',
                {'test': {'a': {}}},
                OptionError,
                'test.a.dataroot_gt: missing',
                '',
            ),
            (
                'a number as a folder',
                {'test__two__dataroot_gt': 3},
                OptionError,
                'test.two.dataroot_gt: 3; expected a folder',
                '',
            ),
            (
                'no datasets',
                {'options__datasets': None},
                OptionError,
                'EDSR_scratch_x2_s0: datasets: missing',
                '',
            ),
            (
                'a folder that BasicSR replaces',
                {'options__path__training_states': 'states'},
                OptionError,
                "EDSR_scratch_x2_s0: path.training_states: 'states'; BasicSR does not read it",
                '',
            ),
            (
                'an unknown placeholder',
                {'options__path__mine': '{x}'},
                OptionError,
                "path.mine: '{x}' has the placeholder {x}; known: ",
                '',
            ),
            (
                'an unknown method',
                {'methods__scratch__train__kd__type': 'x'},
                OptionError,
                "EDSR_scratch_x2_s0: train.kd.type: unknown method 'x'",
                '',
            ),
            (
                'a fusion network of three teachers for two',
                {
                    'options__teachers': {
                        name: {'network': tiny('EDSR', 2), 'weights': 'EDSR_x2.pth'}
                        for name in 'ab'
                    },
                    'options__fusion': {'network': tiny('DCTSwin', 2), 'weights': 'fusion_x2.pth'},
                    'options__train__distill_opt': {'type': 'L1Loss'},
                    'methods__MTKD': {'train': {'kd': {'type': 'MTKD'}}},
                },
                OptionError,
                'EDSR_MTKD_x2_s0: fusion.network.in_chans: 9; expected 6, 3 for each of the 2',
                '',
            ),
            (
                'a list of teachers',
                {'options__teachers': [1]},
                OptionError,
                'EDSR_scratch_x2_s0: teachers: [1]; expected a mapping',
                '',
            ),
            (
                'a number as when',
                {'students__EDSR__when': 3},
                OptionError,
                'students.EDSR.when: 3; expected a list',
                '',
            ),
            (
                'images that are not there',
                {'options__datasets__val__dataroot_lq': 'gone'},
                DataError,
                "EDSR_scratch_x2_s0: datasets.val.dataroot_lq: no folder 'gone'",
                '',
            ),
        ]
    ),
    Row(
        'compare: images of a test set that differ only in their ending',
        'compare -opt plan.yml',
        DataError,
        'test.two.dataroot_gt: images that differ only in folder or ending would count as one: '
        'val/GT/chelsea',
        both(plan(), second_ending('val/GT/chelsea'), second_ending('val/LRx2/chelsea')),
    ),
    Row(
        'compare: an empty plan',
        'compare -opt plan.yml',
        OptionError,
        "-opt: 'plan.yml' holds nothing",
        raw('', 'plan.yml'),
    ),
    Row(
        'compare: options for a plan',
        'compare -opt options.yml',
        OptionError,
        "'options.yml' is the option file of a training; use it with: mtkd train -opt options.yml",
        options(),
    ),
    Row('distill: no folder', 'distill gone --out out', DataError, "gone': no such folder"),
    Row(
        'distill: an unknown student',
        'distill val/GT --out out --student vdsr',
        USAGE,
        "argument --student: invalid choice: 'vdsr'",
    ),
    Row(
        'distill: no time',
        'distill val/GT --out out --hours 0',
        USAGE,
        "argument --hours: '0'; expected a number above 0",
    ),
    Row(
        'distill: a scale that the reference teachers are not for',
        'distill val/GT --out out --scale 2',
        OptionError,
        '--scale: 2; expected 4, which the reference teachers are for',
    ),
    Row(
        'distill: no such teacher',
        'distill val/GT --out out --teachers gone.pth',
        OptionError,
        "--teachers: no file 'gone.pth'",
    ),
    Row(
        'distill: a folder of something else as --out',
        'distill val/GT --out train',
        OptionError,
        "train' exists and was not made by mtkd distill",
    ),
    Row(
        'distill: a file as --out',
        'distill val/GT --out file',
        OptionError,
        "file' exists and was not made by mtkd distill",
    ),
    Row('data: no folder', 'data gone --out out', DataError, "'gone': no such folder"),
    Row('data: a file', 'data file --out out', DataError, "'file': no such folder"),
    Row(
        'data: no images',
        'data pictures --out out',
        DataError,
        "'pictures': no images; expected files that end with",
        lambda: os.mkdir('pictures'),
    ),
    Row(
        'data: a scale of 1',
        'data val/GT --out out --scale 1',
        OptionError,
        '--scale: 1; expected different numbers from 2 on',
    ),
    Row(
        'data: a multiple that is none',
        'data val/GT --out out --multiple 5',
        OptionError,
        '--multiple: 5; expected a multiple of all of --scale',
    ),
    Row(
        'data: a negative multiple',
        'data val/GT --out out --multiple -12',
        USAGE,
        "argument --multiple: '-12'; expected a whole number from 1",
    ),
    Row(
        'data: a part that does not fit',
        'data val/GT --out out --sub-image 50',
        OptionError,
        '--sub-image 50 --step 25; expected multiples of 12',
    ),
    Row(
        'data: an unknown test set',
        'data val/GT --out out --verify Set6',
        USAGE,
        "argument --verify: invalid choice: 'Set6'",
    ),
    Row(
        'data: a file as --out',
        'data val/GT --out file',
        OptionError,
        "--out: 'file'; cannot create this folder: File exists",
    ),
    Row(
        'data: two suffixes',
        'data val/GT --out out',
        DataError,
        "'val/GT': several files are named coffee",
        picture('val/GT/coffee.jpg', GREY),
    ),
    Row(
        'data: a note of others',
        'data val/GT --out out',
        OptionError,
        "--out: 'out/mtkd_data.json' was not written by this command",
        lambda: (os.mkdir('out'), Path('out/mtkd_data.json').write_text('[')),
    ),
    *(
        Row(
            f'data: {what}', 'data val/GT --out out --workers 1', DataError, text, make, keeps='out'
        )
        for what, make, text in [
            (
                'zero bytes',
                raw(b'', 'val/GT/coffee.png'),
                "'val/GT/coffee.png': cannot be read as an image",
            ),
            (
                'cut off',
                cut('val/GT/coffee.png'),
                "'val/GT/coffee.png': cannot be read as an image",
            ),
            (
                '16 bits',
                picture('val/GT/coffee.png', GREY.astype(np.uint16)),
                "'val/GT/coffee.png': uint16 values; expected 8 bits",
            ),
            (
                'transparency',
                picture('val/GT/coffee.png', np.dstack([GREY] * 4)),
                "'val/GT/coffee.png': 4 channels; expected greyscale or three",
            ),
            (
                'too small',
                picture('val/GT/coffee.png', GREY[:5]),
                "'val/GT/coffee.png': 5×40 pixels; expected 12 or more",
            ),
            (
                'a folder',
                folder_at('val/GT/coffee.png'),
                "'val/GT/coffee.png': cannot be read as an image",
            ),
        ]
    ),
    Row(
        'options: neither --out nor --reference',
        'options',
        USAGE,
        'one of the arguments --out --reference is required',
    ),
    Row(
        'options: an unknown scale',
        'options --out out --scale 5',
        USAGE,
        'argument --scale: invalid choice: 5',
    ),
    Row(
        'options: an unknown student',
        'options --out out --student vdsr',
        USAGE,
        "argument --student: invalid choice: 'vdsr'",
    ),
    Row('options: a file as --out', 'options --out file', OptionError, 'cannot create this folder'),
    Row(
        'upscale: no pictures',
        'upscale --weights student.pth',
        USAGE,
        'the following arguments are required: IMAGE',
    ),
    Row(
        'upscale: no weights for an option file',
        'upscale cat.png -opt options.yml',
        OptionError,
        '--weights: missing; expected the weights for the network of',
    ),
    *(
        Row(
            f'upscale: {what}',
            f'upscale dog.png --weights student.pth {arguments}',
            kind,
            text,
            make,
        )
        for what, make, kind, text, arguments in [
            ('no such picture', lambda: None, DataError, "'dog.png': no such file", ''),
            (
                'an empty folder',
                lambda: os.mkdir('dog.png'),
                DataError,
                "'dog.png': no pictures in this folder",
                '',
            ),
            (
                'zero bytes',
                raw(b'', 'dog.png'),
                DataError,
                "'dog.png': cannot be read as an image: it is empty",
                '',
            ),
            (
                'a text',
                raw('dog', 'dog.png'),
                DataError,
                "'dog.png': cannot be read as an image",
                '',
            ),
            (
                'cut off',
                both(picture('dog.png', GREY), cut('dog.png')),
                DataError,
                "'dog.png': cannot be read as an image: it is damaged: its end is missing",
                '',
            ),
            (
                'a tile of -1',
                lambda: None,
                USAGE,
                "argument --tile: '-1'; expected a whole number from 1 on",
                '--tile -1',
            ),
            (
                'an unknown device',
                lambda: None,
                OptionError,
                "--device: 'gpu'; expected auto, cpu, cuda",
                '--device gpu',
            ),
            (
                'a device that is not here',
                lambda: None,
                OptionError,
                "--device: 'xpu'; not available on this machine",
                '--device xpu',
            ),
            (
                'a file as --out',
                picture('dog.png', GREY),
                OptionError,
                "--out: 'file'; cannot create this folder",
                '--out file',
            ),
            (
                'an option file without network',
                raw('scale: 2\n'),
                OptionError,
                "-opt: 'options.yml': expected network_g and scale",
                '-opt options.yml',
            ),
            (
                'a network of another scale',
                options(scale=4),
                OptionError,
                'network_g: output (1, 3, 4, 4) for input (1, 3, 2, 2); scale is 4',
                '-opt options.yml',
            ),
            (
                'weights that do not say their network',
                saved('student.pth', {'params': {'a': torch.zeros(1)}}),
                WeightsError,
                "--weights: 'student.pth' does not say which network it belongs to",
                '',
            ),
            (
                'weights that say an unknown network',
                saved(
                    'student.pth', {'params': {}, 'mtkd': {'network': {'type': 'x'}, 'scale': 2}}
                ),
                OptionError,
                "--weights: 'student.pth' is of the network 'x', which nothing here registers; "
                'pass the option file that imports it with -opt',
                '',
            ),
            (
                'a training state',
                saved('student.pth', {'iter': 20, 'optimizers': [], 'schedulers': []}),
                WeightsError,
                "--weights: 'student.pth' is the training state of iteration 20, which has no ",
                '',
            ),
            (
                'weights that say nonsense',
                saved('student.pth', {'params': {}, 'mtkd': {'network': 'EDSR', 'scale': 2}}),
                WeightsError,
                "--weights: 'student.pth': mtkd.network is not what",
                '',
            ),
        ]
    ),
    Row(
        'export: no format',
        'export --weights student.pth',
        OptionError,
        '--format: missing; expected onnx, torchscript, safetensors, pth, or --out with one of the '
        'endings .onnx, .pt, .safetensors, .pth',
    ),
    Row(
        'export: an unknown format',
        'export --format tflite --weights student.pth',
        USAGE,
        "argument --format: invalid choice: 'tflite'",
    ),
    *(
        Row(f'export: {what}', f'export --format {arguments}', kind, text, make)
        for what, make, kind, text, arguments in [
            (
                'no weights',
                lambda: None,
                OptionError,
                '--weights: missing; expected a checkpoint, or an option file',
                'safetensors',
            ),
            (
                'weights that are not there',
                lambda: None,
                WeightsError,
                "--weights: no file 'gone.pth'",
                'safetensors --weights gone.pth',
            ),
            (
                'weights that run code',
                saved('student.pth', RunsCode()),
                WeightsError,
                'it would call posix.system, and is not executed',
                'safetensors --weights student.pth',
            ),
            (
                'another ending',
                lambda: None,
                OptionError,
                "--out: 'x.pth'; expected a name that ends with .safetensors",
                'safetensors --weights student.pth --out x.pth',
            ),
            (
                'a file as a folder',
                lambda: None,
                OptionError,
                "--out: 'file'; cannot create this folder",
                'safetensors --weights student.pth --out file/x.safetensors',
            ),
            (
                'path that is a string',
                options(path='x'),
                OptionError,
                "-opt: 'options.yml' has no path.pretrain_network_g",
                'safetensors -opt options.yml',
            ),
            (
                'the file of the weights',
                lambda: os.rename('student.pth', 'student.pt'),
                OptionError,
                "--out: 'student.pt' is the weight file itself",
                'torchscript --weights student.pt',
            ),
            (
                'a network that is not RGB to RGB',
                both(
                    weights('grey.pth', 'EDSR', num_in_ch=1),
                    options(network_g=tiny('EDSR', 2, num_in_ch=1)),
                ),
                OptionError,
                'network_g: EDSR fails for input (1, 3, 2, 2)',
                'safetensors --weights grey.pth -opt options.yml',
            ),
        ]
    ),
    Row(
        'demo: a file as --out', 'demo --out file', OptionError, "file'; cannot create this folder"
    ),
    Row('demo: an unknown argument', 'demo --fast', USAGE, 'unrecognized arguments: --fast'),
]
