import math

import pytest
import torch

from mtkd_basicsr.functional.dckd import (
    LEVEL_WEIGHTS,
    add_noise,
    code_cross_entropy,
    contrastive_distance,
)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_noise_has_its_strengths_and_is_grey_for_half_of_the_images():
    x = torch.full((400, 3, 32, 32), 0.5)
    noise = (add_noise(x, torch.Generator().manual_seed(0)) - x) * 255
    sigma = noise.std((1, 2, 3))
    assert 0.9 < sigma.min() < 3
    assert 28 < sigma.max() < 31.5
    assert sigma.mean().item() == pytest.approx(15.5, abs=1)
    assert noise.mean().abs() < 0.1
    grey = (noise[:, 0] - noise[:, 1]).abs().amax((1, 2)) < 1e-3
    assert 170 < grey.sum() < 230
    assert len({round(n[0, 0, 0].item(), 4) for n in noise}) == 400, 'each image has its own'


def test_noisy_images_are_images_and_belong_to_the_generator():
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).round()
    one, same, other = (add_noise(x, torch.Generator().manual_seed(s)) for s in (2, 2, 3))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.min() == 0
    assert one.max() == 1


def test_the_contrastive_distance_by_hand():
    shapes = [(2, 3, 16 // 2**i, 16 // 2**i) for i in range(5)]
    student, teacher, *negatives = (
        [random(*shape, seed=10 * j + i) for i, shape in enumerate(shapes)] for j in range(5)
    )
    expected = 0
    for i, weight in enumerate([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]):
        far = sum((student[i] - negative[i]).abs().mean() for negative in negatives)
        expected += weight * (student[i] - teacher[i]).abs().mean() / (far + 1e-7)
    found = contrastive_distance(student, teacher, iter(negatives))
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    assert contrastive_distance(teacher, teacher, negatives) == 0
    assert sum(LEVEL_WEIGHTS) == 1.46875
    same = contrastive_distance(student, teacher, [student])
    assert same > 1e5, 'what equals all negatives is bad, but finite'
    assert torch.isfinite(same)


def test_the_gradient_draws_to_the_teacher_and_away_from_negatives():
    student = [torch.full((1, 1, 2, 2), 0.5, requires_grad=True) for _ in range(5)]
    one, zero = ([torch.full((1, 1, 2, 2), v) for _ in range(5)] for v in (1.0, 0.0))
    gradients = torch.autograd.grad(contrastive_distance(student, one, [zero]), student)
    assert all((gradient < 0).all() for gradient in gradients)
    # To the same distance from the teacher, with the negative on the other side.
    (more, *_) = torch.autograd.grad(contrastive_distance(student, zero, [one]), student)
    assert (more > 0).all()


def test_cross_entropy_over_codes_is_that_of_the_distances():
    student = random(2, 6, 3, 4, seed=1)
    teacher = random(2, 6, 3, 4, seed=2)
    codes = random(11, 6, seed=3)
    total = 0.0
    for b in range(2):
        for i in range(3):
            for j in range(4):
                p, q = (
                    torch.softmax(
                        -torch.stack([(z[b, :, i, j] - code).square().sum() for code in codes]), 0
                    )
                    for z in (teacher, student)
                )
                total -= (p * q.log()).sum().item()
    found = code_cross_entropy(student, teacher, codes)
    assert found.item() == pytest.approx(total / 24, rel=1e-12)


def test_cross_entropy_is_smallest_where_both_agree():
    teacher = random(1, 4, 2, 2, seed=5)
    codes = random(7, 4, seed=6)
    student = teacher.clone().requires_grad_()
    least = code_cross_entropy(student, teacher, codes)
    assert least < code_cross_entropy(teacher + 0.1, teacher, codes)
    (gradient,) = torch.autograd.grad(least, student)
    assert gradient.abs().max() < 1e-12
    # Latents that are far from all codes but one are sure of it.
    sure = 100 * torch.eye(4, dtype=torch.float64)
    latent = sure[:1, :, None, None].clone()
    assert code_cross_entropy(latent, latent, sure).item() == pytest.approx(0, abs=1e-9)
    assert math.isfinite(code_cross_entropy(latent, -latent, sure))
