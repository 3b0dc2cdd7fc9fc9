import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mtkd_basicsr.functional.padding import pad_to_multiple, run_padded
from mtkd_basicsr.functional.tiling import run_tiled


@pytest.mark.parametrize(('h', 'w', 'multiple'), [(13, 20, 8), (16, 24, 8), (9, 31, 16)])
def test_reflection_padding_equals_torch_where_torch_can(h, w, multiple):
    x = torch.rand(2, 3, h, w)
    expected = F.pad(x, (0, -w % multiple, 0, -h % multiple), 'reflect')
    assert torch.equal(pad_to_multiple(x, multiple), expected)


@pytest.mark.parametrize(('h', 'w'), [(1, 1), (1, 5), (3, 2), (2, 40)])
def test_images_smaller_than_the_padding_are_reflected_again(h, w):
    x = torch.rand(1, 3, h, w)
    y = pad_to_multiple(x, 32)
    assert y.shape[-2] % 32 == 0
    assert y.shape[-1] % 32 == 0
    assert torch.equal(y[..., :h, :w], x)
    expected = x
    while expected.shape[-2:] != y.shape[-2:]:  # reflection as often as it takes, by torch
        if min(h, w) == 1:
            break
        missing = [
            min(y.shape[-1] - expected.shape[-1], expected.shape[-1] - 1),
            min(y.shape[-2] - expected.shape[-2], expected.shape[-2] - 1),
        ]
        expected = F.pad(expected, (0, missing[0], 0, missing[1]), 'reflect')
    else:
        assert torch.equal(y, expected)


def test_run_padded_crops_the_enlarged_image():
    x = torch.rand(1, 3, 10, 11)
    y = run_padded(lambda t: F.interpolate(t, scale_factor=4), x, 8, 4)
    assert torch.equal(y, F.interpolate(x, scale_factor=4))


@pytest.mark.parametrize(
    ('h', 'w', 'tile', 'overlap'),
    [(40, 57, 16, 4), (40, 57, 16, 0), (15, 57, 16, 15), (64, 64, 64, 16), (33, 17, 16, 5)],
)
def test_tiles_give_what_the_whole_image_gives(h, w, tile, overlap):
    x = torch.rand(1, 3, h, w)
    sizes = set()

    def nearest(t):
        sizes.add(t.shape[-2:])
        return F.interpolate(t, scale_factor=3)

    assert torch.equal(run_tiled(nearest, x, 3, tile, overlap), F.interpolate(x, scale_factor=3))
    assert sizes == {(min(h, tile), min(w, tile))}


def test_overlap_hides_the_borders_of_tiles():
    kernel = torch.ones(3, 3, 5, 5) / 75
    x = torch.rand(1, 3, 50, 61)

    def blur(t):
        return F.conv2d(t, kernel, padding=2)

    whole = blur(x)
    assert (run_tiled(blur, x, 1, 20, 4) - whole).abs().max() < 1e-6
    assert (run_tiled(blur, x, 1, 20, 0) - whole).abs().max() > 1e-2


def test_one_tile_is_the_whole_image():
    calls = []
    run_tiled(lambda t: calls.append(t.shape) or t, torch.rand(1, 3, 9, 9), 1, None)
    assert calls == [(1, 3, 9, 9)]
