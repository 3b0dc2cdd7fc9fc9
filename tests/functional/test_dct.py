import numpy as np
import pytest
import scipy.fft
import torch

from mtkd_basicsr.functional.dct import dct_matrix, window_dct_matrices


@pytest.mark.parametrize('norm', ['ortho', 'none'])
@pytest.mark.parametrize('n', [1, 2, 5, 8])
def test_matrix_is_the_dct_of_scipy(n, norm):
    x = np.random.default_rng(0).normal(size=(n, 3))
    expected = scipy.fft.dct(x, axis=0, norm='ortho' if norm == 'ortho' else None)
    np.testing.assert_allclose(dct_matrix(n, norm).numpy() @ x, expected, atol=1e-12)


@pytest.mark.parametrize('norm', ['ortho', 'none'])
def test_window_transform_is_the_2d_dct_and_is_undone(norm):
    x = torch.randn(5, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    forward, inverse = window_dct_matrices(8, norm, torch.float64)
    y = (forward @ x.reshape(5, 64, 1)).reshape(5, 8, 8)
    expected = scipy.fft.dctn(x.numpy(), axes=(1, 2), norm='ortho' if norm == 'ortho' else None)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    back = (inverse @ y.reshape(5, 64, 1)).reshape(5, 8, 8)
    assert (back - x).abs().max() < 1e-13


def test_unnormalised_dc_of_a_flat_window():
    forward, _ = window_dct_matrices(8, 'none', torch.float64)
    assert (forward @ torch.full((64,), 0.5, dtype=torch.float64))[0] == pytest.approx(256 * 0.5)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm: expected one of .* got 'orto'"):
        dct_matrix(8, 'orto')
