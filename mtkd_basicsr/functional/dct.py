"""The discrete cosine transform (DCT-II) as a matrix, and its inverse."""

import math

import torch

NORMS = ('ortho', 'none')


def dct_matrix(n: int, norm: str = 'ortho', dtype: torch.dtype = torch.float64) -> torch.Tensor:
    r"""Compute the matrix :math:`D` of the DCT-II.

    :math:`D x` is the transform of the column vector :math:`x`.

    :math:`D_{ki} = 2 \cos(\pi k (2 i + 1) / (2 n))` for ``norm='none'``. With ``norm='ortho'`` row
    0 is scaled by :math:`\sqrt{1 / (4 n)}` and the others by :math:`\sqrt{1 / (2 n)}`, which makes
    :math:`D` orthogonal (Ahmed, Natarajan, Rao: *Discrete Cosine Transform*, 1974; the scalings are
    those of ``scipy.fft.dct``).

    Args:
        n: Length of the signal.
        norm: ``'ortho'`` or ``'none'``.
        dtype: Type of the result.

    Returns:
        (n, n).

    Raises:
        ValueError: If ``norm`` is neither.
    """
    if norm not in NORMS:
        raise ValueError(f"norm: expected one of {NORMS}, got '{norm}'")
    k = torch.arange(n, dtype=torch.float64)[:, None]
    i = torch.arange(n, dtype=torch.float64)[None, :]
    d = 2 * torch.cos(math.pi * k * (2 * i + 1) / (2 * n))
    if norm == 'ortho':
        d = d * math.sqrt(1 / (2 * n))
        d[0] = d[0] * math.sqrt(0.5)
    return d.to(dtype)


def window_dct_matrices(
    window_size: int, norm: str = 'ortho', dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the matrices of the 2-D DCT of a flattened square window, forward and inverse.

    Element (k, l) of the 2-D transform :math:`D X D^T` of a window is
    :math:`\\sum_{ij} D_{ki} D_{lj} X_{ij}`. With the pixels row by row in a vector that is one
    product with the Kronecker product :math:`D \\otimes D`, whose element (k·w + l, i·w + j) is
    :math:`D_{ki} D_{lj}`.

    Args:
        window_size: Height and width of the window, *w*.
        norm: ``'ortho'`` or ``'none'``; with ``'none'`` the DC of a flat window is
            :math:`4 w^2` times its value.
        dtype: Type of the results.

    Returns:
        Forward and inverse, each (w², w²).
    """
    d = dct_matrix(window_size, norm)
    forward = torch.kron(d, d)
    inverse = forward.T if norm == 'ortho' else torch.linalg.inv(forward)
    return forward.to(dtype), inverse.contiguous().to(dtype)
