"""The relations of relational knowledge distillation (RKD) between the images of a batch.

They are the distances of pairs and the angles of triples.

Park, Kim, Lu, Cho: *Relational Knowledge Distillation*, CVPR 2019,
https://arxiv.org/abs/1904.05068.
"""

import torch
from torch.nn.functional import smooth_l1_loss

_TINY = 1e-24


def _products(embedding: torch.Tensor) -> torch.Tensor:
    """Compute ⟨e_i - e_j, e_k - e_j⟩ for all triples.

    With g_ik = ⟨e_i, e_k⟩ it is g_ik - g_ji - g_jk + g_jj: the b × b scalar products are enough,
    and the differences of the embeddings are never held.

    Returns:
        (b, b, b), indices j, i, k, float64.
    """
    # Centred, and in double precision: the differences are small compared with the embeddings.
    centred = (embedding.float() - embedding.float().mean(0)).double()
    gram = centred @ centred.T
    diagonal = gram.diagonal()
    return gram[None] - gram[:, :, None] - gram[:, None, :] + diagonal[:, None, None]


def _lengths(products: torch.Tensor) -> torch.Tensor:
    """Compute ‖e_i - e_j‖, (b, b) with indices j, i, with a gradient of zero where it is zero."""
    squares = products.diagonal(dim1=1, dim2=2)
    return torch.where(squares > _TINY, squares.clamp_min(_TINY).sqrt(), torch.zeros_like(squares))


def _relative_distances(lengths: torch.Tensor) -> torch.Tensor:
    b = len(lengths)
    mean = lengths.sum() / (b * (b - 1))
    return lengths / mean.clamp_min(1e-12)


def _cosines(products: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    scale = lengths[:, :, None] * lengths[:, None, :]
    return torch.where(scale > 0, products / scale.clamp_min(_TINY), torch.zeros_like(products))


def pair_distances(embedding: torch.Tensor) -> torch.Tensor:
    r"""Compute the Euclidean distances of all pairs, divided by their mean.

    .. math::
        \psi_D(e_i, e_j) = \|e_i - e_j\|_2 / \mu, \quad \mu = \mathrm{mean}_{i \ne j} \|e_i -
        e_j\|_2

    Args:
        embedding: (b, d), b > 1.

    Returns:
        (b, b), float64, zero on the diagonal.
    """
    return _relative_distances(_lengths(_products(embedding)))


def triple_angles(embedding: torch.Tensor) -> torch.Tensor:
    r"""Compute the cosines of the angles at e_j in the triangles of all triples.

    .. math::
        \psi_A(e_i, e_j, e_k) = \langle e^{ij}, e^{kj} \rangle, \quad e^{ij} = (e_i - e_j) / \|e_i -
        e_j\|_2

    Args:
        embedding: (b, d).

    Returns:
        (b, b, b), float64, indices j, i, k; zero where two of the three are the same point.
    """
    products = _products(embedding)
    return _cosines(products, _lengths(products))


def relation_distance(
    student: torch.Tensor,
    teacher: torch.Tensor,
    distance_weight: float = 1.0,
    angle_weight: float = 2.0,
) -> torch.Tensor:
    """Compute the smooth L1 distance between the relations of two sets of embeddings.

    Args:
        student: (b, d), b > 1.
        teacher: (b, d'). The sizes of the embeddings may differ.
        distance_weight: Weight of the distances of pairs.
        angle_weight: Weight of the angles of triples.

    Returns:
        Scalar.
    """
    student_products = _products(student)
    teacher_products = _products(teacher)
    student_lengths = _lengths(student_products)
    teacher_lengths = _lengths(teacher_products)
    distances = smooth_l1_loss(
        _relative_distances(student_lengths), _relative_distances(teacher_lengths)
    )
    angles = smooth_l1_loss(
        _cosines(student_products, student_lengths), _cosines(teacher_products, teacher_lengths)
    )
    return (distance_weight * distances + angle_weight * angles).float()
