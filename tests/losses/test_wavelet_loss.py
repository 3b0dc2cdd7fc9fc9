import pytest
import torch
from torch.nn.functional import pixel_shuffle

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.functional.wavelet import (
    _butterfly,
    band_l1,
    haar_bands,
    haar_dwt,
    haar_l1,
)
from mtkd_basicsr.host import patches
from mtkd_basicsr.losses import WaveletLoss

with patches.pkg_resources():
    from pytorch_wavelets import DWTForward

SHAPES = [(2, 3, 16, 24), (1, 3, 7, 9), (2, 1, 1, 5), (1, 3, 33, 20)]


def photograph(shape, seed=0):
    from mtkd_basicsr.data.sample_photographs import load

    b, c, h, w = shape
    image = torch.from_numpy(load('chelsea' if seed else 'coffee')).permute(2, 0, 1).float() / 255
    return torch.stack([image[:c, 40 + i : 40 + i + h, 60 : 60 + w] for i in range(b)])


def photographs(shape):
    """Two images whose difference has no band of exactly 0.

    Photographs of 8 bits have many; there pytorch_wavelets gives a rounding error, whose sign
    depends on the processor.
    """
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.1
    return photograph(shape), photograph(shape, 1) + noise


def by_pytorch_wavelets(x, y, level, wave='haar', band_mean='each'):
    default = torch.get_default_dtype()
    torch.set_default_dtype(x.dtype)  # of its filters
    transform = DWTForward(J=level, wave=wave, mode='zero')
    torch.set_default_dtype(default)
    low, high = transform(x - y)
    if band_mean == 'joint':  # as the authors' code does, on (b, c, 3, h, w)
        return low.abs().mean() + sum(h.abs().mean() for h in high)
    return low.abs().mean() + sum(h[:, :, i].abs().mean() for h in high for i in range(3))


@pytest.mark.parametrize('shape', SHAPES)
def test_bands_are_those_of_pytorch_wavelets(shape):
    x = photograph(shape)
    low, high = DWTForward(J=1, wave='haar', mode='zero')(x)
    ours_low, ours_high = haar_dwt(x)
    assert (ours_low - low).abs().max() < 1e-6
    assert all((ours_high[i] - high[0][:, :, i]).abs().max() < 1e-6 for i in range(3))


@pytest.mark.parametrize('band_mean', ['each', 'joint'])
@pytest.mark.parametrize('wave', ['haar', 'db2'])
@pytest.mark.parametrize('level', [1, 2, 4])
@pytest.mark.parametrize('shape', SHAPES)
def test_value_and_gradient_equal_pytorch_wavelets(shape, level, wave, band_mean):
    x, y = photographs(shape)
    x.requires_grad_()
    ours = WaveletLoss(level=level, wave=wave, band_mean=band_mean)(x, y)
    theirs = by_pytorch_wavelets(x, y, level, wave, band_mean)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    (a,), (b,) = torch.autograd.grad(ours, x), torch.autograd.grad(theirs, x)
    assert (a - b).abs().max() < 1e-6


@pytest.mark.parametrize('level', [1, 2, 3])
@pytest.mark.parametrize('shape', SHAPES)
def test_one_mean_of_the_high_bands_equals_pytorch_wavelets_in_float64(shape, level):
    x, y = (t.double().requires_grad_() for t in photographs(shape))
    ours = haar_l1(x, y, level, band_mean='joint')
    theirs = by_pytorch_wavelets(x, y, level, band_mean='joint')
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for a, b in zip(torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y))):
        assert a.abs().max() > 0
        assert (a - b).abs().max() < 1e-12


def test_each_is_the_default_and_a_sum_has_no_mean():
    x, y = photographs((2, 3, 16, 24))
    x.requires_grad_()
    for one, other, same in (
        ({}, {'band_mean': 'each'}, True),
        ({'reduction': 'sum'}, {'reduction': 'sum', 'band_mean': 'joint'}, True),
        ({}, {'band_mean': 'joint'}, False),
    ):
        a, b = (WaveletLoss(level=2, **arguments)(x, y) for arguments in (one, other))
        assert torch.equal(a, b) == same
        assert torch.equal(*(torch.autograd.grad(loss, x)[0] for loss in (a, b))) == same


@pytest.mark.parametrize('planes', [1, 4, 1000])
@pytest.mark.parametrize(
    ('reduction', 'band_mean'), [('mean', 'each'), ('sum', 'each'), ('mean', 'joint')]
)
@pytest.mark.parametrize('level', [1, 2, 3, 4])
@pytest.mark.parametrize('shape', [*SHAPES, (2, 3, 16, 16), (2, 2, 6, 11)])
def test_closed_form_equals_autograd_over_the_bands(
    shape, level, reduction, planes, band_mean, monkeypatch
):
    monkeypatch.setattr(
        'mtkd_basicsr.functional.wavelet.CHUNK_VALUES', planes * shape[2] * shape[3]
    )
    x, y = (t.double().requires_grad_() for t in photographs(shape))
    ours = haar_l1(x, y, level, reduction, band_mean)
    *high, low = haar_bands(x - y, level)
    theirs = band_l1([*high, low], reduction)
    if band_mean == 'joint':
        each = [torch.stack(high[i : i + 3]) for i in range(0, len(high), 3)]
        theirs = band_l1([*each, low])
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for a, b in zip(torch.autograd.grad(3 * ours, (x, y)), torch.autograd.grad(3 * theirs, (x, y))):
        assert a.abs().max() > 0
        assert (a - b).abs().max() < 1e-12


@pytest.mark.parametrize('band_mean', ['each', 'joint'])
@pytest.mark.parametrize('wave', ['haar', 'db2'])
@pytest.mark.parametrize('level', [1, 3])
def test_the_low_band_can_be_left_out(wave, level, band_mean):
    x, y = photographs((1, 3, 33, 20))
    x.requires_grad_()
    low, high = DWTForward(J=level, wave=wave, mode='zero')(x - y)
    theirs = sum(h[:, :, i].abs().mean() for h in high for i in range(3))
    theirs = theirs / 3 if band_mean == 'joint' else theirs
    ours = WaveletLoss(level=level, wave=wave, bands='high', band_mean=band_mean)(x, y)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    (a,), (b,) = torch.autograd.grad(ours, x), torch.autograd.grad(theirs, x)
    assert (a - b).abs().max() < 1e-6
    assert a.abs().max() > 0


def test_gradient_of_bands_that_are_zero_is_zero():
    x = photograph((2, 3, 16, 24)).requires_grad_()
    y = photograph((2, 3, 16, 24), 1)
    theirs = band_l1(haar_bands(x - y, 1))
    assert torch.equal(*(torch.autograd.grad(loss, x)[0] for loss in (WaveletLoss()(x, y), theirs)))
    assert not torch.autograd.grad(WaveletLoss(level=2)(x, x.detach()), x)[0].any()


def test_gradient_is_scaled_by_loss_weight_and_comes_twice():
    x, y = photographs((1, 3, 10, 12))
    x.requires_grad_()
    (once,) = torch.autograd.grad(WaveletLoss()(x, y), x)
    loss = WaveletLoss(loss_weight=0.25)(x, y)
    for _ in range(2):
        assert torch.equal(torch.autograd.grad(loss, x, retain_graph=True)[0], once * 0.25)


def test_gradient_goes_to_whatever_needs_it():
    x, y = photographs((2, 3, 9, 12))
    (a,) = torch.autograd.grad(WaveletLoss(level=2)(x.requires_grad_(), y), x)
    (b,) = torch.autograd.grad(WaveletLoss(level=2)(x.detach(), y.requires_grad_()), y)
    both = torch.autograd.grad(WaveletLoss(level=2)(x, y), (x, y))
    assert torch.equal(a, both[0])
    assert torch.equal(b, both[1])
    assert torch.equal(a, -b)
    assert not WaveletLoss()(x.detach(), y.detach()).requires_grad


def test_any_strides_give_the_same_and_a_contiguous_gradient():
    x, y = photographs((2, 3, 12, 14))
    expected = torch.autograd.grad(WaveletLoss(level=2)(x.requires_grad_(), y), x)[0]
    for change in (
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.mT.contiguous().mT,
        lambda t: torch.nn.functional.pad(t, (1, 2, 3, 0))[..., 3:, 1:-2],
    ):
        strided = change(x.detach()).requires_grad_()
        assert not strided.is_contiguous()
        (gradient,) = torch.autograd.grad(WaveletLoss(level=2)(strided, change(y)), strided)
        assert gradient.is_contiguous()
        assert torch.equal(gradient, expected)


def test_second_derivative_is_refused():
    x, y = photographs((1, 3, 8, 8))
    (gradient,) = torch.autograd.grad(
        WaveletLoss()(x.requires_grad_(), y) ** 2, x, create_graph=True
    )
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


def test_bfloat16_gets_a_gradient_of_its_own_type():
    x, y = (t.bfloat16() for t in photographs((1, 3, 16, 15)))
    (a,) = torch.autograd.grad(WaveletLoss(level=2)(x.requires_grad_(), y), x)
    (b,) = torch.autograd.grad(band_l1(haar_bands(x.float() - y.float(), 2)), x)
    assert a.dtype == torch.bfloat16
    assert a.any()
    assert (a - b).abs().max() < 1e-4


def test_bands_and_loss_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])
    low, (lh, hl, hh) = haar_dwt(x)
    assert (low.item(), lh.item(), hl.item(), hh.item()) == (5.5, -2.5, -1.5, 0.5)
    assert WaveletLoss(loss_weight=2.0)(x, torch.zeros_like(x)).item() == 2 * (
        5.5 + 2.5 + 1.5 + 0.5
    )


def inverse_haar_dwt(low, high, size):
    """Reconstructs an image of a size from the bands of one level, as ``haar_dwt`` returns them."""
    lh, hl, hh = high
    # The sums and the differences of the two columns, for the upper and the lower row of a block.
    upper_sum = low + lh
    lower_sum = low - lh
    upper_difference = hl + hh
    lower_difference = hl - hh
    blocks = torch.stack(
        [
            upper_sum + upper_difference,
            upper_sum - upper_difference,
            lower_sum + lower_difference,
            lower_sum - lower_difference,
        ],
        2,
    )
    return pixel_shuffle((blocks / 2).flatten(1, 2), 2)[..., : size[0], : size[1]]


@pytest.mark.parametrize('shape', SHAPES)
def test_the_inverse_gives_the_image(shape):
    x = photograph(shape)
    assert (inverse_haar_dwt(*haar_dwt(x), shape[-2:]) - x).abs().max() < 1e-6


def test_a_block_of_the_butterfly_holds_the_bands_up_to_signs():
    x = torch.rand(2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, (lh, hl, hh) = haar_dwt(x[None])
    result = _butterfly(x, 0.5 - 0.5j)
    places = ((0, 0, low), (0, 1, -hl), (1, 0, lh), (1, 1, -hh))
    for row, column, band in places:
        assert (result[:, row::2, column::2] - band[0]).abs().max() < 1e-15
    assert (_butterfly(result, 0.5 + 0.5j) - x).abs().max() < 1e-15


def test_number_and_sizes_of_bands():
    bands = haar_bands(torch.rand(1, 3, 16, 24), 2)
    assert [tuple(b.shape[-2:]) for b in bands] == [(8, 12)] * 3 + [(4, 6)] * 4


def test_all_images_of_the_batch_count_alike():
    x = photograph((2, 3, 16, 16))
    y = photograph((2, 3, 16, 16), 1)
    loss = WaveletLoss(level=2)
    assert loss(x, y).item() == pytest.approx(
        (loss(x[:1], y[:1]) + loss(x[1:], y[1:])).item() / 2, abs=1e-6
    )


def test_equal_images_give_zero_and_sum_is_mean_times_size():
    x = photograph((1, 3, 16, 16))
    y = photograph((1, 3, 16, 16), 1)
    assert WaveletLoss(level=3)(x, x) == 0
    assert WaveletLoss(reduction='sum')(x, y).item() == pytest.approx(
        WaveletLoss()(x, y).item() * 3 * 64, rel=1e-5
    )


def test_fp32_inside_under_autocast():
    x = photograph((1, 3, 16, 16))
    y = photograph((1, 3, 16, 16), 1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = WaveletLoss()(x, y)
    assert mixed.dtype == torch.float32
    assert mixed == WaveletLoss()(x, y)
    assert torch.isfinite(WaveletLoss()(x.bfloat16(), y.bfloat16()))


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'level': 0}, 'level: 0; expected a whole number'),
        ({'level': 1.5}, 'level: 1.5'),
        ({'wave': 'har'}, "wave: unknown wavelet 'har'.*did you mean 'haar'"),
        ({'reduction': 'none'}, "reduction: unknown value 'none'; known: mean, sum"),
        ({'band_mean': 'jiont'}, "band_mean: unknown value 'jiont'; .*did you mean 'joint'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(OptionError, match=text):
        WaveletLoss(**arguments)


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match='differ in shape'):
        WaveletLoss()(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))


def test_other_wavelets_run_without_tf32(monkeypatch):
    """TF32 has ten bits of mantissa, and torch allows it in convolutions by default."""
    loss = WaveletLoss(wave='bior2.2')
    cudnn = torch.backends.cudnn
    seen = []

    def record(*_):
        seen.append((cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark))

    loss.transform.register_forward_hook(record)
    monkeypatch.setattr(cudnn, 'allow_tf32', True)
    loss(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))
    assert seen == [(False, cudnn.enabled, cudnn.benchmark)]
    assert cudnn.allow_tf32
