"""Fit the score as a smooth function of the tuned parameters, from trials at scattered places: a Gaussian process.

    s(x) ~ GP(mean, k),   k(x, x') = σ² exp( -½ Σ_a ((x_a - x'_a)/ℓ_a)² ),   scores = s(x_n) + noise
    E[s(x)] = mean + k(x)ᵀ (K + τ²I)⁻¹ (scores - mean)                    (Rasmussen and Williams 2006, Eqs. 2.25, 2.26)

Lengths ℓ and noise τ are those of the largest marginal likelihood (their Eq. 2.30) on a logarithmic lattice; σ² is the
variance of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LENGTHS = tuple(0.08 * 2 ** (n / 2) for n in range(11))
"""Shares of a parameter's range, 0.08 to 2.6: shorter ones would follow the noise of single trials."""
NOISES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3)
"""Noise variances as shares of the variance of the scores."""
ROUNDS = 3
"""Rounds in which each length, then the noise, is chosen with the others held."""
FEWEST = 4
"""Trials below which a surface says nothing."""


@dataclass(frozen=True)
class Surface:
    """The fitted process; called with places (m, d) in [0, 1], returns the expected scores (m,).

    Args:
        places: (n, d) of the trials, shares of the parameters' ranges.
        lengths: ℓ, one for each parameter.
        noise: τ², share of the scores' variance.
        coefficients: (K + τ²I)⁻¹ of the scores, times their scale.
        mean: mean score.
    """

    places: np.ndarray
    lengths: tuple[float, ...]
    noise: float
    coefficients: np.ndarray
    mean: float

    def __call__(self, at: np.ndarray) -> np.ndarray:
        return self.mean + _kernel(np.atleast_2d(at), self.places, self.lengths) @ self.coefficients


def fit_surface(places: np.ndarray, scores: np.ndarray) -> Surface | None:
    """The surface through scattered scores; None for fewer than `FEWEST`.

    Args:
        places: (n, d), shares of the parameters' ranges.
        scores: (n,), finite.
    """
    places, scores = np.asarray(places, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if len(scores) < FEWEST:
        return None
    mean, scale = float(scores.mean()), float(scores.std())
    if scale == 0:
        return Surface(places, (1.0,) * places.shape[1], 1.0, np.zeros(len(scores)), mean)
    target = (scores - mean) / scale
    chosen = [LENGTHS[len(LENGTHS) // 2]] * places.shape[1] + [NOISES[2]]
    for _ in range(ROUNDS):
        for number in range(len(chosen)):
            choices = LENGTHS if number < places.shape[1] else NOISES
            trial = [[*chosen[:number], choice, *chosen[number + 1 :]] for choice in choices]
            chosen = max(trial, key=lambda c: _log_likelihood(places, target, c))
    lengths, noise = tuple(chosen[:-1]), chosen[-1]
    covariance = _kernel(places, places, lengths) + noise * np.eye(len(scores))
    return Surface(places, lengths, noise, scale * np.linalg.solve(covariance, target), mean)


def _kernel(a: np.ndarray, b: np.ndarray, lengths: tuple[float, ...]) -> np.ndarray:
    difference = (a[:, None, :] - b[None, :, :]) / np.asarray(lengths)
    return np.exp(-0.5 * (difference**2).sum(axis=-1))


def _log_likelihood(places: np.ndarray, target: np.ndarray, chosen: list[float]) -> float:
    """-½ yᵀ(K + τ²I)⁻¹y - ½ log|K + τ²I|, without its constant."""
    covariance = _kernel(places, places, tuple(chosen[:-1])) + chosen[-1] * np.eye(len(target))
    lower = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(lower, target)
    return float(-0.5 * whitened @ whitened - np.log(np.diag(lower)).sum())
