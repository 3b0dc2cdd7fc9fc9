"""What is tried once before a training: nothing is refused that the training itself could do."""

import copy

import pytest
import torch
from helpers.distillation import batch_of, kd_options, model_of, step
from helpers.found import changed, found_in_training
from torch import nn

from mtkd_basicsr.checks.student import check_student
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.api import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY
from mtkd_basicsr.losses.build import build, try_out


class OfOneSize(nn.Module):
    """Takes inputs of one size, as a network with absolute positions does."""

    def __init__(self, size=48, scale=2, channels=3):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, channels, size, size))
        self.body = nn.Conv2d(channels, 8, 3, padding=1)
        self.tail = nn.Conv2d(8, channels * scale**2, 1)
        self.scale = scale

    def forward(self, x):
        feature = self.body(x + self.place)
        return nn.functional.pixel_shuffle(self.tail(feature), self.scale)


class Contrast(nn.Module):
    """Compares images of a batch with one another."""

    def forward(self, pred, target):
        rows = [(pred[i] - target[i - 1]).abs().mean() for i in range(1, len(pred))]
        return torch.stack(rows).mean()


class Blocks(nn.Module):
    """Compares blocks of 48×48 pixels, so that sides have to be multiples of it."""

    def __init__(self, loss_weight=1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred, target):
        blocks = [x.unflatten(-1, (-1, 48)).unflatten(-3, (-1, 48)) for x in (pred, target)]
        return (blocks[0].mean((-1, -3)) - blocks[1].mean((-1, -3))).abs().mean()


class InPlace(nn.Module):
    """Writes into the output of the student, of which nothing else is left to be read."""

    def forward(self, pred, target):
        return pred.sub_(target).abs_().mean()


class Channels(torch.utils.data.Dataset):
    """Images of one channel."""


@pytest.fixture(autouse=True)
def _registered():
    """Classes of a user's, for one test."""
    found = {
        ARCH_REGISTRY: [OfOneSize],
        LOSS_REGISTRY: [Contrast, Blocks, InPlace],
        DATASET_REGISTRY: [Channels],
    }
    before = {registry: dict(registry._obj_map) for registry in found}
    for registry, classes in found.items():
        for each in classes:
            registry.register(each)
    yield
    for registry, known in before.items():
        registry._obj_map.clear()
        registry._obj_map.update(known)


def scratch(make_options, **changes):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    return changed(opt, changes)


@pytest.mark.parametrize('size', [48, 20])
def test_a_student_of_one_size_of_patches_is_run_with_it(make_options, size):
    network = {'type': 'OfOneSize', 'size': size}
    opt = scratch(make_options, network_g=network, datasets__train__gt_size=2 * size)
    check_student(training_config(opt))
    opt['datasets']['train']['gt_size'] = 2 * (size + 4)
    with pytest.raises(OptionError, match=rf'OfOneSize fails for input \(1, 3, {size + 4}, '):
        check_student(training_config(opt))


def test_a_test_does_not_refuse_a_student_of_one_size(make_options):
    opt = scratch(make_options, network_g={'type': 'OfOneSize', 'size': 70}, is_train=False)
    opt['datasets'] = {'test_1': opt['datasets']['val']}
    check_student(training_config(opt))
    opt['network_g'] = {'type': 'OfOneSize', 'size': 24, 'scale': 4}
    with pytest.raises(OptionError, match='scale is 2'):
        check_student(training_config(opt))


def test_a_dataset_of_ones_own_may_have_other_channels(make_options):
    opt = scratch(make_options, network_g={'type': 'OfOneSize', 'size': 24, 'channels': 1})
    opt['datasets']['train'].update(type='Channels', gt_size=48)
    check_student(training_config(opt))
    opt['train']['pixel_opt'] = {'type': 'Blocks'}
    opt['datasets']['train']['gt_size'] = 50  # not for its images, of which nothing is known
    assert not [error for error in found_in_training(opt)[0] if 'Blocks' in error]


@pytest.mark.parametrize(
    ('loss', 'gt_size'), [('Contrast', 64), ('Blocks', 288), ('Blocks', 384), ('InPlace', 64)]
)
def test_a_loss_that_trains_is_not_refused(make_options, loss, gt_size):
    opt = scratch(
        make_options,
        train__pixel_opt={'type': loss},
        datasets__train__gt_size=gt_size,
        datasets__train__batch_size_per_gpu=2,
    )
    errors, _ = found_in_training(opt)
    assert errors == []
    opt['train']['pixel_opt'] = {'type': 'Blocks'}
    opt['datasets']['train']['gt_size'] = 50
    (error,) = found_in_training(opt)[0]
    assert error.startswith(
        'train.pixel_opt: Blocks fails for images of the shape (2, 3, 50, 50): RuntimeError'
    )


def test_a_loss_of_ones_own_may_have_several_weights():
    build({'type': 'Blocks', 'loss_weight': [1.0, 0.5]}, 'train.pixel_opt')
    for loss, weight in (('Blocks', '1e-1'), ('Blocks', ['1e-1']), ('L1Loss', [1.0, 0.5])):
        with pytest.raises(OptionError, match='train.pixel_opt.loss_weight: .*expected a number'):
            build({'type': loss, 'loss_weight': weight}, 'train.pixel_opt')


def test_the_loss_sees_neither_equal_images_nor_other_random_numbers():
    seen = []

    class Seen(nn.Module):
        def forward(self, pred, target):
            seen.append((copy.copy(pred), target))
            return (pred - target).abs().mean() + torch.rand(())

    before = torch.get_rng_state()
    try_out(Seen(), {'type': 'Seen'}, 'key', (2, 3, 8, 8), torch.device('cpu'))
    ((pred, target),) = seen
    assert pred.shape == target.shape == (2, 3, 8, 8)
    assert not pred.equal(target)
    assert pred.requires_grad
    assert not target.requires_grad
    assert torch.get_rng_state().equal(before)


def test_features_of_a_student_of_one_size_are_read(photographs, tmp_path):
    kd = {'type': 'AT', 'student_features': ['body'], 'teacher_features': ['conv_first']}
    opt = kd_options(photographs, tmp_path, kd, 'EDSR', ('EDSR',), datasets__train__gt_size=40)
    opt['network_g'] = {'type': 'OfOneSize', 'size': 20}
    assert step(model_of(opt, tmp_path), batch_of(2, 20))['l_at'] > 0
    opt['datasets']['train']['gt_size'] = 48
    text = r'train.kd.student_features: OfOneSize fails for input \(1, 3, 24, 24\)'
    with pytest.raises(OptionError, match=text):
        model_of(opt, tmp_path)
