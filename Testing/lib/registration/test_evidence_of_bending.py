"""With evidence "clear" nothing deforms where nothing has changed, and what has changed deforms."""

from __future__ import annotations

from dataclasses import replace

import bending
import pytest
import torch

from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.register import register

SETTINGS = replace(PRESETS["same-person"], levels=((2, 4, 25), (1, 2, 15)), threads=1, lambda_max=1.0, alpha_prime=0.02)


@pytest.mark.parametrize("seed", [0, 1])
def test_new_noise_deforms_nothing(seed: int) -> None:
    grid = bending.cube(40, 3.0)
    image = bending.image(grid)
    noise = [0.03 * float(image.data.max()) * torch.randn(image.data.shape, generator=torch.Generator().manual_seed(n))
             for n in (seed, seed + 10)]  # fmt: skip
    result = register(image.with_data(image.data + noise[0]), image.with_data(image.data + noise[1]), SETTINGS)
    assert float(result.displacement.vectors.abs().max()) == 0
    assert any("Nothing deforms" in note for note in result.notes)
    assert result.figures.similarity_after == result.figures.similarity_before


def test_a_true_deformation_is_kept() -> None:
    grid = bending.cube(40, 3.0)
    result = register(bending.image(grid, bending.Bend()), bending.image(grid), replace(SETTINGS, affine="none"))
    assert float(result.displacement.vectors.norm(dim=0).max()) > 1
    assert any("clearly better than none" in note for note in result.notes)
