import itertools

import pytest
import torch

from mtkd_basicsr.functional.dukd_augment import (
    OPERATIONS,
    augment,
    random_flags,
    undo_augment,
    zoom_in,
)

ALL = torch.tensor(list(itertools.product([False, True], repeat=4)))


def images(b=16, n=6, seed=0):
    # Multiples of 1/256: 1 - x is exact, so that equality can be asked for to the bit.
    return torch.randint(0, 257, (b, 3, n, n), generator=torch.Generator().manual_seed(seed)) / 256


def by_hand(image, flags):
    """One image, number by number: where each pixel goes."""
    c, n, _ = image.shape
    invert_, hflip, vflip, transpose = flags.tolist()
    result = torch.empty_like(image)
    for i in range(n):
        for j in range(n):
            y = n - 1 - i if vflip else i
            x = n - 1 - j if hflip else j
            y, x = (x, y) if transpose else (y, x)
            result[:, y, x] = 1 - image[:, i, j] if invert_ else image[:, i, j]
    return result


def test_augment_by_hand():
    assert OPERATIONS == ('invert', 'hflip', 'vflip', 'transpose')
    x = images()
    for image, flags, result in zip(x, ALL, augment(x, ALL)):
        assert torch.equal(result, by_hand(image, flags)), flags
    assert (
        len({tuple(r.flatten().tolist()) for r in augment(x[:1].expand(16, -1, -1, -1), ALL)}) == 16
    ), 'all differ'


def test_inverse_takes_back_all_combinations():
    x = images()
    assert torch.equal(undo_augment(augment(x, ALL), ALL), x)
    # In training the inverse is used on images of another size.
    larger = images(n=12)
    augmented = torch.stack([by_hand(image, flags) for image, flags in zip(larger, ALL)])
    assert torch.equal(undo_augment(augmented, ALL), larger)


def test_inverse_takes_back_whatever_comes():
    generator = torch.Generator().manual_seed(0)
    for seed in range(60):
        b, n = (int(torch.randint(1, high, (), generator=generator)) for high in (6, 20))
        probability = float(torch.rand((), generator=generator))
        flags = random_flags(b, probability, generator)
        x = images(b, n, seed)
        assert torch.equal(undo_augment(augment(x, flags), flags), x), (flags, n)
        assert torch.equal(augment(undo_augment(x, flags), flags), x), (flags, n)


def test_the_authors_order_is_wrong_for_a_transpose_with_one_flip():
    x = images()
    restored = undo_augment(augment(x, ALL), ALL, 'authors')
    wrong = [i for i in range(16) if not torch.equal(restored[i], x[i])]
    expected = [i for i, (_, h, v, t) in enumerate(ALL.tolist()) if t and h != v]
    assert wrong == expected
    assert len(wrong) == 4
    # The share at probability 0.3: transpose, and exactly one of two flips.
    share = sum(0.3 ** sum(ALL[i].tolist()) * 0.7 ** (4 - sum(ALL[i].tolist())) for i in wrong)
    assert share == pytest.approx(0.126)
    flags = random_flags(100_000, 0.3, torch.Generator().manual_seed(0))
    drawn = (flags[:, 3] & (flags[:, 1] ^ flags[:, 2])).float().mean().item()
    assert drawn == pytest.approx(0.126, abs=0.004)


def test_each_operation_is_drawn_on_its_own():
    flags = random_flags(50_000, 0.3, torch.Generator().manual_seed(0)).float()
    assert flags.shape == (50_000, 4)
    assert (flags.mean(0) - 0.3).abs().max() < 0.01
    assert (torch.corrcoef(flags.T) - torch.eye(4)).abs().max() < 0.02
    assert not random_flags(100, 0.0).any()
    assert random_flags(100, 1.0).all()


def test_gradient_goes_through_both():
    x = images(16).requires_grad_()
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    (weights * undo_augment(augment(x, ALL), ALL)).sum().backward()
    assert torch.equal(x.grad, weights)


@pytest.mark.parametrize('scale', [2, 3, 4])
def test_zoom_in_gives_tiles_of_the_ground_truth(scale):
    h = 4
    w = 5
    generator = torch.Generator().manual_seed(0)
    gt = torch.arange(2 * 3 * h * scale * w * scale).view(2, 3, h * scale, w * scale).float()
    seen = [set(), set()]
    for _ in range(40 * scale):
        tiles = zoom_in(gt, scale, generator)
        assert tiles.shape == (2, 3, h, w)
        for own, image, tile in zip(seen, gt, tiles):
            places = [
                (i, j)
                for i in range(scale)
                for j in range(scale)
                if torch.equal(image[:, i * h : (i + 1) * h, j * w : (j + 1) * w], tile)
            ]
            assert len(places) == 1, 'not a tile of this image'
            own.add(places[0])
    assert all(len(own) == scale**2 for own in seen), 'some tiles never come up'


def test_images_of_a_batch_get_tiles_of_their_own():
    gt = torch.arange(4.0).view(1, 1, 2, 2).expand(64, 1, 2, 2)
    assert len(zoom_in(gt, 2, torch.Generator().manual_seed(0)).unique()) == 4


def test_draws_depend_on_the_generator_alone():
    gt = images(8, 12)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(0)
        before = torch.get_rng_state()
        results.append((zoom_in(gt, 4, generator), random_flags(8, 0.5, generator)))
        assert torch.equal(before, torch.get_rng_state()), (
            'the crops and weights of a training would change'
        )
    assert all(torch.equal(a, b) for a, b in zip(*results))
    other = torch.Generator().manual_seed(1)
    assert not torch.equal(zoom_in(gt, 4, other), results[0][0])
