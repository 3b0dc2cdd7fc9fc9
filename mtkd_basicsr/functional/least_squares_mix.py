"""The least-squares mix: the linear combination of several images that is nearest to a target."""

import torch


def normal_equations(
    images: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Compute the sums that :func:`solve_mix` needs; the sums of several batches can be added.

    Args:
        images: (b, n, h, w), the channels of all images, X.
        target: (b, m, h, w), Y.

    Returns:
        :math:`X X^T`, (n, n), and :math:`Y X^T`, (m, n), over all pixels, float64.
    """
    x = images.detach().transpose(0, 1).flatten(1).double()
    y = target.detach().transpose(0, 1).flatten(1).double()
    return x @ x.T, y @ x.T


def solve_mix(
    xx: torch.Tensor, yx: torch.Tensor, prior: torch.Tensor, ridge: float = 1e-6
) -> torch.Tensor:
    r"""Compute the matrix W that minimises :math:`|W X - Y|^2 + \lambda |W - W_0|^2`.

    Args:
        xx, yx: (n, n) and (m, n), from :func:`normal_equations`.
        prior: (m, n), :math:`W_0`: decides where the images do not, for example between two
            equal ones.
        ridge: :math:`\lambda`, as a fraction of the mean square of a channel.

    Returns:
        (m, n), float64.
    """
    # At the minimum W (X Xᵀ + λ I) = Y Xᵀ + λ W₀, whose transpose is solved; X Xᵀ is symmetric.
    weight = ridge * xx.diagonal().mean()
    eye = torch.eye(len(xx), dtype=xx.dtype, device=xx.device)
    transposed: torch.Tensor = torch.linalg.solve(xx + weight * eye, (yx + weight * prior).T)
    return transposed.T
