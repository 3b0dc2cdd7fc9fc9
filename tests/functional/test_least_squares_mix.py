import pytest
import torch

from mtkd_basicsr.functional.least_squares_mix import (
    normal_equations,
    pixel_products,
    solve_mix,
    weighted_square,
    without_border,
)


def test_finds_the_mix_that_made_the_image():
    images = torch.rand(2, 9, 16, 16, dtype=torch.float64)
    true = torch.randn(3, 9, dtype=torch.float64)
    target = torch.einsum('oc,bchw->bohw', true, images)
    sums = [normal_equations(images[i : i + 1], target[i : i + 1]) for i in range(2)]
    found = solve_mix(
        sums[0][0] + sums[1][0],
        sums[0][1] + sums[1][1],
        torch.zeros(3, 9, dtype=torch.float64),
        1e-12,
    )
    assert (found - true).abs().max() < 1e-8


def test_equal_images_share_the_weight_of_the_prior():
    image = torch.rand(1, 3, 8, 8)
    prior = torch.eye(3, dtype=torch.float64).repeat(1, 2) / 2
    found = solve_mix(*normal_equations(image.repeat(1, 2, 1, 1), image), prior)
    assert (found - prior).abs().max() < 1e-6


def test_products_of_whole_numbers_are_exact():
    planes = torch.randint(0, 256, (4, 150, 131), dtype=torch.uint8)
    flat = planes.flatten(1).long()
    products = pixel_products(planes)
    assert torch.equal(products, (flat @ flat.T).double())
    inner = planes[:, 3:-3, 3:-3].flatten(1).long()
    assert torch.equal(without_border(products, planes, 3), (inner @ inner.T).double())
    assert without_border(products, planes, 0) is products
    weights = torch.tensor([0.5, 0.25, 0.25, -1.0], dtype=torch.float64)
    error = (weights @ flat.double()).square().sum()
    assert abs(weighted_square(products, weights) / error - 1) < 1e-9
    assert weighted_square(products[:2, :2], torch.zeros(2, dtype=torch.float64)) == 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_black_images_leave_the_mix_as_it_is(dtype):
    prior = torch.rand(3, 6, dtype=dtype)
    mix = solve_mix(*normal_equations(torch.zeros(1, 6, 4, 4), torch.zeros(1, 3, 4, 4)), prior)
    assert mix.dtype == torch.float64
    assert torch.equal(mix, prior.double())
