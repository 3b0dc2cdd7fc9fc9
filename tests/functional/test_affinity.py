import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtkd_basicsr.functional import affinity as affinity_module
from mtkd_basicsr.functional.affinity import affinity, affinity_distance, normalize_pixels


def by_loops(feature):
    """Cosines of all pairs of pixels of one image, number by number."""
    c, h, w = feature.shape
    pixels = [[feature[k, i, j].item() for k in range(c)] for i in range(h) for j in range(w)]
    cosine = torch.empty(h * w, h * w, dtype=torch.float64)
    for p, a in enumerate(pixels):
        for q, b in enumerate(pixels):
            lengths = [sum(v * v for v in x) ** 0.5 for x in (a, b)]
            cosine[p, q] = sum(u * v for u, v in zip(a, b)) / lengths[0] / lengths[1]
    return cosine


def plain(student, teacher):
    """The formula in double precision, with whole maps."""
    maps = []
    for feature in (student, teacher):
        flat = feature.double().flatten(2)
        unit = flat / (flat.norm(dim=1, keepdim=True) + 1e-8)
        maps.append(torch.einsum('bcp,bcq->bpq', unit, unit))
    return (maps[0] - maps[1]).abs().mean()


def features(b=2, c=4, c_teacher=6, h=3, w=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(b, c, h, w, generator=generator), torch.randn(
        b, c_teacher, h, w, generator=generator
    )


def test_map_is_the_cosine_of_every_two_pixels():
    feature, _ = features()
    result = affinity(feature)
    for image, own in zip(feature, result):
        assert (own - by_loops(image)).abs().max() < 1e-6


def test_distance_by_hand():
    # Two pixels: of the student at right angles, of the teacher the same. Off the diagonal 0 and 1,
    # on it nothing.
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 2)
    teacher = torch.tensor([[3.0, 5.0]]).view(1, 1, 1, 2)
    assert affinity_distance(student, teacher).item() == pytest.approx(0.5)
    assert affinity_distance(student, -teacher * torch.tensor([1.0, -1.0])).item() == pytest.approx(
        0.5
    )
    opposite = torch.tensor([[1.0, -1.0]]).view(1, 1, 1, 2)
    assert affinity_distance(opposite, teacher).item() == pytest.approx(1.0)


# As on a CPU, and as on a GPU.
SUMS = {'values': affinity_module._by_values, 'rows': affinity_module._by_rows}


# All images in one strip; two and a remainder of one; one image each; several strips an image, with
# a remainder of one row; one row each; smaller than a row.
@pytest.mark.parametrize('rows', [45, 30, 15, 4, 7, 1, 0])
@pytest.mark.parametrize('sums', sorted(SUMS))
def test_value_and_gradient_are_those_of_the_plain_formula(rows, sums, monkeypatch):
    monkeypatch.setattr(affinity_module, '_sum_of_magnitudes', SUMS[sums])
    student, teacher = features(b=3)
    student.requires_grad_()
    distance = affinity_distance(student, teacher, strip_bytes=rows * 4 * 15 + 1)
    expected = plain(student, teacher)
    assert distance.item() == pytest.approx(expected.item(), rel=1e-6)
    (own,) = torch.autograd.grad(3 * distance, student)
    (wanted,) = torch.autograd.grad(3 * expected, student)
    assert wanted.abs().max() > 1e-3
    assert (own - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_sums_of_many_magnitudes_are_exact_in_both_ways():
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(2, 700, 900, generator=generator)[:, :, :777]
    exact = difference.double().abs().sum().item()
    for function in SUMS.values():
        assert function(difference).dtype == torch.float64
        assert function(difference).item() == pytest.approx(exact, rel=1e-7)


class Operations(TorchDispatchMode):
    """Counts operations, and those on empty tensors."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.empty = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        # Views cost nothing.
        if function.is_view:
            return result
        self.count += 1
        for x in (*args, result):
            if isinstance(x, torch.Tensor) and not x.numel():
                self.empty.append(str(function))
        return result


@pytest.mark.parametrize('rows', [30, 15, 7])
def test_nothing_is_computed_of_empty_parts(rows):
    student, teacher = features()
    student.requires_grad_()
    with Operations() as operations:
        affinity_distance(student, teacher, strip_bytes=rows * 4 * 15)
    assert operations.count > 10
    assert not operations.empty


def test_a_whole_map_costs_few_operations(monkeypatch):
    monkeypatch.setattr(affinity_module, '_sum_of_magnitudes', affinity_module._by_rows)
    student, teacher = (affinity_module.normalize_pixels(x) for x in features())
    student.requires_grad_()
    with Operations() as operations:
        affinity_module._AffinityDistance.apply(student, teacher, 1 << 20)
    # Two zeros, two products, two sums, an addition, signs, the gradient, three of the result; a
    # pass for each operation had 26.
    assert operations.count <= 13


def test_gradient_is_that_of_finite_differences():
    student, teacher = features(b=1, h=2, w=3)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(affinity_distance(student, teacher), student)
    step = torch.randn(student.shape, generator=torch.Generator().manual_seed(1)) * 1e-6
    with torch.no_grad():
        change = plain(student.double() + step, teacher) - plain(student.double() - step, teacher)
    assert change.item() == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-3)


def test_a_batch_is_the_mean_of_its_images():
    student, teacher = features()
    each = [affinity_distance(s[None], t[None]).item() for s, t in zip(student, teacher)]
    assert abs(each[0] - each[1]) > 1e-3
    assert affinity_distance(student, teacher).item() == pytest.approx(sum(each) / 2, rel=1e-6)


def test_equal_features_give_zero_and_a_zero_gradient():
    feature, _ = features()
    student = feature.clone().requires_grad_()
    # The lengths of the vectors do not count.
    for teacher, bound in ((feature, 0.0), (3 * feature, 1e-6)):
        distance = affinity_distance(student, teacher)
        (gradient,) = torch.autograd.grad(distance, student)
        assert distance.item() <= bound
        assert gradient.isfinite().all()
    distance = affinity_distance(student, feature)
    assert not torch.autograd.grad(distance, student)[0].any()


def test_empty_pixels_have_a_finite_gradient():
    # ReLU leaves pixels with nothing in them.
    student, teacher = features()
    student[:, :, 0] = 0
    student.requires_grad_()
    distance = affinity_distance(student, teacher)
    (gradient,) = torch.autograd.grad(distance, student)
    assert distance.isfinite()
    assert gradient.isfinite().all()
    assert (normalize_pixels(student)[:, :, :5] == 0).all()
    assert affinity(torch.zeros(1, 2, 2, 2)).eq(0).all()


def test_the_teacher_gets_no_gradient():
    student, teacher = (x.requires_grad_() for x in features())
    affinity_distance(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None
    with torch.no_grad():
        assert not affinity_distance(student, teacher).requires_grad


def test_is_float32_under_autocast():
    student, teacher = features(h=6, w=6)
    with torch.autocast('cpu', torch.bfloat16):
        distance = affinity_distance(student, teacher)
    assert distance.dtype == torch.float32
    assert distance.item() == affinity_distance(student, teacher).item()
    halves = affinity_distance(student.bfloat16(), teacher.bfloat16())
    assert halves.dtype == torch.float32
    assert halves.item() == pytest.approx(distance.item(), rel=0.02)


MEASURE = """
import re
from pathlib import Path
import torch
from mtkd_basicsr.functional.affinity import affinity_distance
student, teacher = torch.randn(16, 64, 48, 48, requires_grad=True), torch.randn(16, 256, 48, 48)
# What the library itself needs.
affinity_distance(student[:1, :, :8, :8], teacher[:1, :, :8, :8]).backward()
student.grad = None
def peak():  # in KiB; getrusage starts at the peak of the process that has started this one
    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
before = peak()
affinity_distance(student, teacher).backward()
assert student.grad.any()
print((peak() - before) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='reads /proc')
def test_memory_at_the_size_of_the_papers():
    # 16 images of 48×48: one whole map has 324 MiB, and autograd would hold half a dozen.
    printed = subprocess.run(
        [sys.executable, '-c', MEASURE], check=True, capture_output=True, text=True
    ).stdout
    assert 0 < float(printed) < 1, f'{printed} GiB'
