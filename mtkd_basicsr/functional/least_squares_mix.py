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
    mean_square = xx.diagonal().mean()
    if mean_square == 0:  # of black images any mix is right
        return prior.to(xx)
    weight = ridge * mean_square
    eye = torch.eye(len(xx), dtype=xx.dtype, device=xx.device)
    transposed: torch.Tensor = torch.linalg.solve(xx + weight * eye, (yx + weight * prior).T)
    return transposed.T


# Pixels whose products are summed at once: they stay in the cache of a CPU as float64.
_PIXELS_AT_ONCE = 16384


def pixel_products(planes: torch.Tensor) -> torch.Tensor:
    r"""Sum the products of all pairs of channels over all pixels, exactly.

    These are the sums of :func:`normal_equations` for images of whole numbers. Their order has no
    effect, so that several processes get the same bits as one.

    Args:
        planes: (n, h, w), uint8.

    Returns:
        :math:`Z Z^T`, (n, n), float64, of whole numbers.
    """
    pixels = planes.flatten(1)
    total = torch.zeros(len(pixels), len(pixels), dtype=torch.float64, device=planes.device)
    for part in pixels.split(_PIXELS_AT_ONCE, 1):
        values = part.double()
        total += values @ values.T
    return total


def without_border(products: torch.Tensor, planes: torch.Tensor, border: int) -> torch.Tensor:
    """Subtract the pixels of the border from the sums of :func:`pixel_products`.

    Args:
        products: (n, n), the sums over all pixels.
        planes: (n, h, w), uint8, whose sums they are.
        border: Width in pixels; less than half of the height and the width.

    Returns:
        (n, n), the sums over the inner pixels.
    """
    if not border:
        return products
    rows = planes[:, border:-border]
    strips = (planes[:, :border], planes[:, -border:], rows[:, :, :border], rows[:, :, -border:])
    for strip in strips:
        products = products - pixel_products(strip)
    return products


def weighted_square(products: torch.Tensor, weights: torch.Tensor) -> float:
    r"""Compute the sum of :math:`(w^T z)^2` over all pixels z.

    With the weights of a difference of images this is a squared error.

    Args:
        products: (n, n), from :func:`pixel_products`.
        weights: (n,), w, float64.
    """
    return max(float(weights @ products @ weights), 0.0)
