"""LNCC against the form with five convolutions, in float64: values, gradients, slabs, masks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conformance import check_gradient, check_refuses, displacement, textures
from SpatialRegularizationLib.similarity import local_correlation
from SpatialRegularizationLib.similarity.lncc import Lncc
from SpatialRegularizationLib.similarity.local_correlation import EPSILON, local_ncc

CASES = [(3, (7, 5, 9)), (5, (9, 7, 5)), (7, (8, 11, 9)), (9, (9, 6, 13)), (9, (4, 3, 5)), (3, (1, 6, 7)), (5, (11, 8))]


def _convolved(warped: Tensor, fixed: Tensor, window: int, mask: Tensor | None = None) -> Tensor:
    """Mean cc with the five window sums as convolutions with ones, zero outside of the image."""
    convolve = {4: F.conv2d, 5: F.conv3d}[warped.dim()]
    widths = tuple(window if n > 1 else 1 for n in warped.shape[2:])
    ones = torch.ones(1, 1, *widths, dtype=warped.dtype)
    pad, n = tuple(w // 2 for w in widths), ones.numel()
    j, i, jj, ii, ij = (
        convolve(x, ones, padding=pad) for x in (warped, fixed, warped**2, fixed**2, warped * fixed)
    )  # fmt: skip
    cc = (ij - i * j / n) ** 2 / ((ii - i**2 / n) * (jj - j**2 / n) + EPSILON)
    return cc.mean() if mask is None else (cc * mask).sum() / mask.sum()


def _assert_equal(warped: Tensor, fixed: Tensor, window: int, mask: Tensor | None = None) -> None:
    images = [warped.clone().requires_grad_(True), fixed.clone().requires_grad_(True)]
    found, expected = local_ncc(*images, window=window, mask=mask), _convolved(*images, window, mask)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(found, images), torch.autograd.grad(expected, images), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize(("window", "shape"), CASES)
def test_value_and_gradients_are_those_of_five_convolutions(window: int, shape: tuple[int, ...]) -> None:
    _assert_equal(*_textures(shape), window)


@pytest.mark.parametrize("voxels", [1, 100, 300])
@pytest.mark.parametrize(("window", "shape"), CASES)
def test_slabs_smaller_than_the_volume_change_nothing(
    window: int, shape: tuple[int, ...], voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_correlation, "SLAB_VOXELS", voxels)
    warped, fixed = _textures(shape)
    _assert_equal(warped, fixed, window)
    _assert_equal(warped, fixed, window, _mask(fixed))


@pytest.mark.parametrize(("window", "shape"), CASES)
def test_a_mask_takes_the_mean_over_itself_of_whole_windows(window: int, shape: tuple[int, ...]) -> None:
    warped, fixed = _textures(shape)
    _assert_equal(warped, fixed, window, _mask(fixed))
    everywhere = local_ncc(warped, fixed, window=window, mask=torch.ones_like(fixed))
    torch.testing.assert_close(everywhere, local_ncc(warped, fixed, window=window))


def test_both_gradients_of_the_masked_form_agree_with_finite_differences() -> None:
    warped, fixed = textures((6, 5, 7))
    mask = _mask(fixed)
    check_gradient(lambda a, b: local_ncc(a, b, window=5, mask=mask), [warped, fixed])


def test_what_lies_outside_the_mask_and_its_windows_does_not_matter() -> None:
    warped, fixed = textures((12, 5, 5))
    mask = torch.zeros_like(fixed)
    mask[:, :, :4] = 1
    other = warped.clone()
    other[:, :, 5:] = 0.5  # windows of width 3 reach one voxel beyond the mask
    torch.testing.assert_close(local_ncc(other, fixed, window=3, mask=mask), local_ncc(warped, fixed, window=3, mask=mask))
    other[:, :, 4] = 0.5
    assert float((local_ncc(other, fixed, window=3, mask=mask) - local_ncc(warped, fixed, window=3, mask=mask)).abs()) > 1e-4


def test_an_empty_mask_gives_zero_and_no_nan() -> None:
    warped, fixed = textures((5, 5, 5))
    leaf = warped.requires_grad_(True)
    value = local_ncc(leaf, fixed, window=3, mask=torch.zeros_like(fixed))
    value.backward()
    assert value.item() == 0.0
    assert float(leaf.grad.abs().max()) == 0.0


def test_a_batch_is_the_mean_of_its_pairs() -> None:
    (a, b), (c, d) = textures((5, 6, 7)), [x + 0.1 for x in reversed(textures((5, 6, 7)))]
    both = local_ncc(torch.cat([a, c]), torch.cat([b, d]), window=3)
    torch.testing.assert_close(both, (local_ncc(a, b, window=3) + local_ncc(c, d, window=3)) / 2)


def test_the_value_does_not_follow_brightness_or_contrast() -> None:
    warped, fixed = textures((9, 9, 9))
    inner = torch.zeros_like(fixed)
    inner[..., 1:-1, 1:-1, 1:-1] = 1  # at the border the zeros outside see the brightness
    plain = local_ncc(warped, fixed, window=3, mask=inner)
    for scale, offset in ((1.0, 0.3), (2.0, 0.0), (-1.0, 1.0)):
        changed = local_ncc(scale * warped + offset, fixed, window=3, mask=inner)
        torch.testing.assert_close(changed, plain, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_regions_count_as_unrelated_without_nan(dtype: torch.dtype) -> None:
    warped, fixed = textures((8, 7, 9), dtype=dtype)
    warped[:, :, 3:] = 0.7
    fixed[..., 4:] = 0.2
    for first, second in ((warped, fixed), (warped, warped), (torch.zeros_like(fixed), torch.zeros_like(fixed))):
        leaf = first.clone().requires_grad_(True)
        value = Lncc(3)(leaf, second)
        value.backward()
        assert 0 <= value.item() <= 1
        assert torch.isfinite(leaf.grad).all()
    assert float(Lncc(3)(torch.zeros_like(fixed), fixed)) == pytest.approx(1.0)


def test_a_step_against_the_gradient_makes_the_images_more_alike() -> None:
    fixed = textures((8, 9, 10))[0]
    moving = fixed + 0.1 * displacement((8, 9, 10))[:, :1]
    leaf = moving.clone().requires_grad_(True)
    loss = Lncc(5)(leaf, fixed)
    loss.backward()
    assert float(Lncc(5)(moving - 0.01 * leaf.grad / leaf.grad.abs().max(), fixed)) < loss.item()


@pytest.mark.parametrize("window", [-3, 0, 1, 4])
def test_an_even_or_tiny_window_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"must be odd and at least 3 voxels, got {window}"):
        Lncc(window)


def test_images_of_several_channels_or_other_shapes_are_refused() -> None:
    image = textures((5, 5, 5))[0]
    check_refuses(Lncc(3), [image, image[:, :, 1:]], "of one shape")
    check_refuses(Lncc(3), [image.expand(1, 2, 5, 5, 5), image.expand(1, 2, 5, 5, 5)], r"two \(N, 1, ...\) images")


def _textures(shape: tuple[int, ...]) -> list[Tensor]:
    """Two pairs in a batch."""
    crop = (slice(None), slice(None), *(slice(n) for n in shape))
    first, second = (image[crop] for image in textures(tuple(max(n, 3) for n in shape)))
    return [torch.cat([first, 0.5 * second]), torch.cat([second, first**2])]


def _mask(image: Tensor) -> Tensor:
    """Half of the voxels, some of them in part."""
    random = torch.rand(image.shape, generator=torch.Generator().manual_seed(5), dtype=image.dtype)
    return (2 * random - 1).clamp(min=0)
