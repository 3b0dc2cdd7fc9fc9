"""The methods of benchmarks/gains_methods.py compute what their publications say."""

import importlib
from types import SimpleNamespace

import pytest
import torch
from basicsr.utils.matlab_functions import imresize
from conftest import ROOT
from skimage import data


@pytest.fixture
def gains(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module('gains_methods')


def photograph(offset):
    pixels = data.astronaut()[offset : offset + 32, 100:132]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].double() / 255


def step(**changes):
    truth, target, output = photograph(0), photograph(2), photograph(5)
    batch = SimpleNamespace(gt=truth, lq=truth[..., ::4, ::4], target=target)
    return SimpleNamespace(**{'batch': batch, 'output': output, 'target': target, **changes})


def method(kind, **options):
    return kind(kind.Options(type=kind.__name__, **options), None, 'train.kd')


def test_confidence_is_between_a_tenth_and_three_quarters(gains):
    errors = torch.tensor([0.0, 0.02, 0.1, 0.2, 1.0], dtype=torch.float64)
    expected = [0.75, 0.75, 0.36787944, 0.13533528, 0.1]
    assert gains.confidence(errors).tolist() == pytest.approx(expected)


def test_a_pixel_counts_by_the_error_of_its_target(gains):
    now = step()
    weights = (-10 * (now.target - now.batch.gt).abs().mean(1)).exp().clamp(0.1, 0.75)
    expected = (weights * (now.output - now.target).abs().mean(1)).mean()
    (loss,) = method(gains.ConfidenceKD).losses(now).values()
    assert loss.item() == pytest.approx(expected.item())
    (in_bands,) = method(gains.ConfidenceKD, bands=True).losses(now).values()
    assert in_bands.item() != pytest.approx(expected.item(), rel=0.1)


def test_coefficients_are_learned_where_the_target_is_nearer(gains):
    perfect = step(target=photograph(0))
    (loss,) = method(gains.AdvantageKD).losses(perfect).values()
    bands = gains.haar_bands(perfect.output - perfect.target, 2)
    # Everything is masked in, and a quarter of it counts once more.
    assert loss.item() == pytest.approx(1.25 * sum(band.abs().mean() for band in bands).item())
    worse = step(output=photograph(0))
    (loss,) = method(gains.AdvantageKD).losses(worse).values()
    bands = gains.haar_bands(worse.output - worse.target, 2)
    assert loss.item() == pytest.approx(0.25 * sum(band.abs().mean() for band in bands).item())


def test_the_matrix_is_matlabs_bicubic(gains):
    image = photograph(0)[0].float()
    matrix = gains.bicubic_matrix(32, 4)
    assert torch.allclose(matrix @ image @ matrix.T, imresize(image, 1 / 4), atol=1e-5)


def test_the_target_becomes_the_ground_truth(gains):
    asked = []

    def student(x):
        asked.append(x)
        return now.output.float()

    now = step()
    for name in ('gt', 'lq'):
        setattr(now.batch, name, getattr(now.batch, name).float())
    now.target = now.target.float()
    now.student = student
    eco = method(gains.EcoKD, total=8, full=True)
    for iteration, share in ((0, 0.0), (3, 0.5), (6, 1.0), (8, 1.0)):
        eco.after_step(iteration, None)
        (loss,) = eco.losses(now).values()
        target = (1 - share) * now.target + share * now.batch.gt
        assert loss.item() == pytest.approx(eco.loss(now.output, target).item(), rel=1e-5)
    smaller = imresize(now.target[0], 1 / 4)
    assert len(asked) == 2, 'as soon as the input is that of the batch, its output is used'
    assert torch.allclose(asked[0][0], smaller, atol=1e-5)
    assert torch.allclose(asked[1][0], (smaller + now.batch.lq[0]) / 2, atol=1e-5)


def test_teachers_that_agree_count_more(gains):
    now = step()
    now.batch.target = torch.cat([photograph(offset) for offset in (0, 1, 2)], 1)
    mean = torch.stack([photograph(offset) for offset in (0, 1, 2)]).mean(0)
    (plain,) = method(gains.MeanOfTeachersKD).losses(now).values()
    loss = method(gains.MeanOfTeachersKD).loss
    assert plain.item() == pytest.approx(loss(now.output, mean).item())
    (rounded,) = method(gains.MeanOfTeachersKD, rounded=True).losses(now).values()
    assert 0 < abs(rounded.item() - plain.item()) < 0.01
    (weighted,) = method(gains.MeanOfTeachersKD, disagreement=True).losses(now).values()
    assert 0.1 * plain < weighted < 0.75 * plain


def test_charbonnier_is_nearly_the_absolute_value(gains):
    now = step()
    expected = sum(band.abs().mean() for band in gains.haar_bands(now.output - now.target, 1))
    loss = gains.CharbonnierWaveletLoss(eps=1e-6)(now.output, now.target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    assert gains.CharbonnierWaveletLoss(eps=1e-2)(now.output, now.target) > loss
