import pytest
import torch
from scipy.fft import dctn
from test_wavelet_loss import photographs

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.losses import DCTLoss


@pytest.mark.parametrize('size', [1, 4, 8])
def test_value_is_that_of_scipys_transform(size):
    x, y = photographs((2, 3, 16, 24))
    windows = (x - y).unfold(2, size, size).unfold(3, size, size).double().numpy()
    assert DCTLoss(window_size=size)(x, y).item() == pytest.approx(
        abs(dctn(windows, axes=(-2, -1), norm='ortho')).mean(), rel=1e-5
    )


def test_odd_sizes_are_completed_by_zeros():
    x, y = photographs((1, 3, 10, 13))
    whole = torch.zeros(2, 1, 3, 16, 16)
    whole[:, ..., :10, :13] = torch.stack([x, y])
    assert DCTLoss()(x, y).item() == pytest.approx(DCTLoss()(*whole).item(), rel=1e-6)


def test_gradient_by_finite_differences():
    loss, (x, y) = DCTLoss(window_size=4), photographs((1, 1, 8, 8))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x, y), x)
    step = torch.zeros_like(x)
    step[0, 0, 3, 5] = 1e-3  # a large one, for fp32
    difference = (loss(x + step, y) - loss(x - step, y)).item() / 2e-3
    assert gradient[0, 0, 3, 5].item() == pytest.approx(difference, abs=2e-4)
    assert gradient.abs().max() > 1e-3


def test_it_works_under_autocast_and_scales_with_its_weight():
    x, y = photographs((1, 3, 16, 16))
    with torch.autocast('cpu', torch.bfloat16):
        assert DCTLoss(loss_weight=3.0)(x, y).item() == pytest.approx(
            3 * DCTLoss()(x, y).item(), rel=1e-5
        )
    assert DCTLoss()(x, x).item() == 0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'window_size': 0}, 'window_size: 0'),
        ({'window_size': 2.0}, 'window_size: 2.0'),
        ({'window_size': True}, 'window_size: True'),
        ({'reduction': 'sum'}, "reduction: 'sum'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(OptionError, match=f'DCTLoss: {text}'):
        DCTLoss(**arguments)


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match='differ in shape'):
        DCTLoss()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
