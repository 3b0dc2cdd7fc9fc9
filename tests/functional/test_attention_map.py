import numpy as np
import pytest
import torch

from mtkd_basicsr.functional.attention_map import FORMS, attention_distance, attention_map


def features(b=2, c=4, c_teacher=6, h=3, w=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(b, c, h, w, generator=generator), torch.randn(
        b, c_teacher, h, w, generator=generator
    )


def by_loops(feature):
    b, c, h, w = feature.shape
    maps = np.zeros((b, h * w))
    for n in range(b):
        for i in range(h):
            for j in range(w):
                maps[n, i * w + j] = sum(feature[n, k, i, j].item() ** 2 for k in range(c))
        maps[n] /= sum(v * v for v in maps[n]) ** 0.5
    return maps


def test_map_by_hand():
    # Powers 9 + 16 and 0 at two pixels, then 3 and 4.
    assert attention_map(torch.tensor([[3.0, 0.0], [4.0, 0.0]]).view(1, 2, 1, 2)).tolist() == [
        [1.0, 0.0]
    ]
    assert attention_map(torch.tensor([[3.0, 4.0]]).sqrt().view(1, 1, 2, 1))[
        0
    ].tolist() == pytest.approx([0.6, 0.8])


def test_map_is_the_normalised_power():
    feature, _ = features()
    assert np.abs(attention_map(feature).numpy() - by_loops(feature)).max() < 1e-6


@pytest.mark.parametrize('form', FORMS)
def test_distance_is_that_of_the_formula(form):
    student, teacher = features()
    d = by_loops(student) - by_loops(teacher)
    expected = {
        'mean_l1': np.abs(d).mean(),
        'paper': np.mean([np.sqrt((x * x).sum()) for x in d]),
        'authors': (d * d).mean(),
    }
    assert attention_distance(student, teacher, form).item() == pytest.approx(
        expected[form], rel=1e-5
    )


def test_the_default_is_the_mean_of_absolute_differences():
    assert (
        attention_distance(*features()).item() == attention_distance(*features(), 'mean_l1').item()
    )


@pytest.mark.parametrize('form', FORMS)
def test_a_batch_is_the_mean_of_its_images(form):
    student, teacher = features()
    each = [attention_distance(s[None], t[None], form).item() for s, t in zip(student, teacher)]
    assert abs(each[0] - each[1]) > 1e-4
    assert attention_distance(student, teacher, form).item() == pytest.approx(
        sum(each) / 2, rel=1e-5
    )


@pytest.mark.parametrize('form', FORMS)
def test_equal_features_give_zero_and_a_zero_gradient(form):
    feature, _ = features()
    student = feature.clone().requires_grad_()
    distance = attention_distance(student, feature, form)
    (gradient,) = torch.autograd.grad(distance, student)
    assert distance.item() == 0, 'the norm has no gradient at zero: it has to be made zero'
    assert not gradient.any(), 'the norm has no gradient at zero: it has to be made zero'
    assert attention_distance(4 * feature, feature, form).item() < 1e-6, 'scale does not count'


@pytest.mark.parametrize('form', FORMS)
def test_gradient_goes_to_the_student(form):
    student, teacher = features()
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(attention_distance(student, teacher, form), student)
    step = torch.randn(student.shape, generator=torch.Generator().manual_seed(1)).double() * 1e-6
    before, after = (by_loops(student.detach().double() + s * step) for s in (-1, 1))
    other = by_loops(teacher)
    distance = {
        'mean_l1': lambda d: np.abs(d).mean(),
        'paper': lambda d: np.sqrt((d * d).sum(1)).mean(),
        'authors': lambda d: (d * d).mean(),
    }[form]
    assert (gradient.double() * step).sum().item() * 2 == pytest.approx(
        distance(after - other) - distance(before - other), rel=1e-3
    )


def test_zeros_have_a_finite_gradient_and_bfloat16_becomes_float32():
    zero = torch.zeros(1, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(attention_map(zero).sum(), zero)
    assert attention_map(zero).eq(0).all()
    assert gradient.isfinite().all()
    student, teacher = features()
    assert attention_map(student.bfloat16()).dtype == torch.float32
    assert attention_distance(student.bfloat16(), teacher).item() == pytest.approx(
        attention_distance(student, teacher).item(), rel=0.05
    )
