import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mtkd_basicsr.functional.padding import pad_to_multiple, run_padded
from mtkd_basicsr.functional.tiling import balanced_side, run_tiled, tiles


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


@pytest.mark.parametrize(
    ('size', 'largest', 'overlap', 'multiple', 'side'),
    [
        (500, 512, 32, 8, 500),
        (512, 512, 32, 8, 512),
        (513, 512, 32, 8, 280),
        (600, 512, 32, 8, 320),
        (6000, 512, 32, 8, 496),
        (100, 64, 48, 16, 64),
        (1000, 64, 0, 1, 63),
    ],
)
def test_balanced_tiles_cover_a_row_without_more_of_them(size, largest, overlap, multiple, side):
    found = balanced_side(size, largest, overlap, multiple)
    assert found == side
    with_largest = tiles((1, size), (1, largest), overlap)
    balanced = tiles((1, size), (1, found), overlap)
    assert len(balanced) == len(with_largest)
    kept = [n for tile in balanced for n in range(tile.columns.kept_start, tile.columns.kept_end)]
    assert kept == list(range(size))
