import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, smooth_l1_loss

from mtkd_basicsr.functional.rkd import pair_distances, relation_distance, triple_angles


def embeddings(b=5, d=7, d_teacher=11):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(b, d, generator=generator), torch.randn(b, d_teacher, generator=generator)


def distances_plain(e):
    e = e.double()
    distances = torch.cdist(e, e, compute_mode='donot_use_mm_for_euclid_dist')
    return distances / distances[~torch.eye(len(e), dtype=torch.bool)].mean()


def angles_plain(e):
    e = e.double()
    angles = torch.zeros(len(e), len(e), len(e), dtype=torch.float64)
    for j in range(len(e)):
        for i in range(len(e)):
            for k in range(len(e)):
                if i != j and k != j:
                    angles[j, i, k] = cosine_similarity(e[i] - e[j], e[k] - e[j], dim=0)
    return angles


def plain(student, teacher, distance_weight=1.0, angle_weight=2.0):
    return distance_weight * smooth_l1_loss(
        distances_plain(student), distances_plain(teacher)
    ) + angle_weight * smooth_l1_loss(angles_plain(student), angles_plain(teacher))


def test_pairs_and_triples_by_hand():
    # A triangle with the sides 3, 4 and 5: mean 4, right angle at the first point.
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert pair_distances(triangle).tolist() == [
        pytest.approx(row) for row in ([0, 0.75, 1], [0.75, 0, 1.25], [1, 1.25, 0])
    ]
    angles = triple_angles(triangle)
    assert angles[0, 1, 2].item() == pytest.approx(0, abs=1e-7)
    assert angles[1, 0, 2].item() == pytest.approx(0.6)
    assert angles[2, 1, 0].item() == pytest.approx(0.8)
    assert angles[1, 2, 2].item() == pytest.approx(1)
    assert angles[1, 1, 2].item() == 0


def test_pairs_and_triples_are_those_of_torch():
    for e in embeddings():
        assert (pair_distances(e) - distances_plain(e)).abs().max() < 1e-6
        assert (triple_angles(e) - angles_plain(e)).abs().max() < 1e-6


@pytest.mark.parametrize('weights', [(1.0, 2.0), (1.0, 0.0), (0.0, 1.0), (0.5, 3.0)])
def test_value_and_gradient_are_those_of_the_plain_formula(weights):
    student, teacher = embeddings()
    student.requires_grad_()
    distance = relation_distance(student, teacher, *weights)
    expected = plain(student, teacher, *weights)
    assert distance.item() == pytest.approx(expected.item(), rel=1e-5)
    (own,) = torch.autograd.grad(distance, student)
    diagonal_free = plain_without_diagonal(student, teacher, *weights)
    assert diagonal_free.item() == pytest.approx(expected.item(), rel=1e-9)
    (wanted,) = torch.autograd.grad(diagonal_free, student)
    assert wanted.abs().max() > 1e-3
    assert (own - wanted).abs().max() < 1e-5


def plain_without_diagonal(student, teacher, distance_weight, angle_weight):
    """The same number without anything that has no gradient: only pairs and triples of different
    points.
    """

    def mean_of_huber(own, other, count):
        return sum(smooth_l1_loss(a, b) for a, b in zip(own, other)) / count

    b = len(student)
    relations = []
    for e in (student.double(), teacher.double()):
        pairs = [(e[i] - e[j]).norm() for i in range(b) for j in range(b) if i != j]
        mean = sum(pairs) / len(pairs)
        angles = [
            cosine_similarity(e[i] - e[j], e[k] - e[j], dim=0)
            for j in range(b)
            for i in range(b)
            for k in range(b)
            if j not in (i, k)
        ]
        relations.append(([p / mean for p in pairs], angles))
    (pairs, angles), (other_pairs, other_angles) = relations
    return distance_weight * mean_of_huber(pairs, other_pairs, b**2) + angle_weight * mean_of_huber(
        angles, other_angles, b**3
    )


def test_default_weights_are_those_of_the_paper():
    student, teacher = embeddings()
    assert (
        relation_distance(student, teacher).item()
        == relation_distance(student, teacher, 1.0, 2.0).item()
    )


def test_what_keeps_the_relations_costs_nothing():
    student, _ = embeddings()
    turn = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1)))[0]
    assert relation_distance(student, student).item() == 0
    # Moved, turned, mirrored, made larger, with more dimensions: the same figure.
    same = torch.cat([2.5 * student @ turn + 100, torch.ones(5, 3)], 1)
    assert relation_distance(student, same).item() < 1e-6
    assert relation_distance(student, same[[1, 0, 2, 3, 4]]).item() > 1e-3, (
        'which image is which does count'
    )


def test_equal_embeddings_have_a_zero_gradient():
    student = embeddings()[0].requires_grad_()
    (gradient,) = torch.autograd.grad(relation_distance(student, student.detach()), student)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e-6


def test_two_equal_images_in_a_batch_have_a_finite_gradient():
    student, teacher = embeddings()
    student[1] = student[0]
    student.requires_grad_()
    distance = relation_distance(student, teacher)
    (gradient,) = torch.autograd.grad(distance, student)
    assert math.isfinite(distance.item())
    assert gradient.isfinite().all()
    assert gradient.any()
    everything = torch.ones(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(relation_distance(everything, embeddings(4)[1]), everything)
    assert gradient.isfinite().all()


def test_small_differences_beside_a_large_mean_are_exact():
    # As features are: the embeddings of two crops differ by little. In single precision the
    # products would be noise.
    student, _ = embeddings(d=64)
    near = student * 1e-3 + 10
    assert (pair_distances(near) - distances_plain(near)).abs().max() < 1e-4
    assert (triple_angles(near) - angles_plain(near)).abs().max() < 1e-3
