import torch

from mtkd_basicsr.functional.least_squares_mix import normal_equations, solve_mix


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
