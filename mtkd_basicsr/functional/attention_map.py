"""Spatial attention maps of features, and the distance between two attention maps."""

import torch

FORMS = ('mean_l1', 'paper', 'authors')


def attention_map(feature: torch.Tensor) -> torch.Tensor:
    r"""Sum the squares over the channels, and divide by the L2 norm over the pixels.

    .. math::
        Q(F) = \frac{\sum_c F_c^2}{\| \sum_c F_c^2 \|_2}

    Zagoruyko, Komodakis: *Paying More Attention to Attention*, ICLR 2017,
    https://arxiv.org/abs/1612.03928.

    Args:
        feature: (b, c, h, w).

    Returns:
        (b, h · w), float32, non-negative, of norm 1.
    """
    power: torch.Tensor = feature.float().square().sum(1).flatten(1)
    norm: torch.Tensor = power.norm(dim=1, keepdim=True)
    return power / norm.clamp_min(1e-12)


def attention_distance(
    student: torch.Tensor, teacher: torch.Tensor, form: str = 'mean_l1'
) -> torch.Tensor:
    r"""Compute the distance between the attention maps of two features.

    Args:
        student: (b, c, h, w).
        teacher: (b, c', h, w). The numbers of channels may differ.
        form: With D = Q(student) - Q(teacher): ``'mean_l1'`` is the mean of \|D\|, as in codes
            for super-resolution; ``'paper'`` the L2 norm of D, averaged over the batch;
            ``'authors'`` the mean of D², as in the authors' code.

    Returns:
        Scalar. The values of a map are about 1 / sqrt(h · w), so that the three forms differ by
        orders of magnitude.
    """
    difference = attention_map(student) - attention_map(teacher)
    if form == 'mean_l1':
        return difference.abs().mean()
    if form == 'authors':
        return difference.square().mean()
    # A norm has no gradient at zero; PyTorch returns zero there.
    norm: torch.Tensor = difference.norm(dim=1)
    return norm.mean()
