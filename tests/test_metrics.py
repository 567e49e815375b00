"""Distances between clouds against sorting, matching and known shifts."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import jitlib
from jitlib import rms, sliced_wasserstein, swiss_roll, wasserstein

KEYS = jax.random.split(jax.random.key(2), 4)


@given(dx=st.floats(-2, 2), dy=st.floats(-2, 2), scale=st.floats(0.1, 3))
@settings(max_examples=20, deadline=None)
def test_shift_and_scale(dx, dy, scale):
    """M1: a shift by d is |d| / sqrt 2 for the sliced distance and |d| for the exact one; both scale with the data."""
    a, shift = swiss_roll(KEYS[0], 100), jnp.array([[dx, dy]])
    assert sliced_wasserstein(a, a) == 0 and wasserstein(a, a) < 1e-3
    assert np.isclose(sliced_wasserstein(a, a + shift), np.hypot(dx, dy) / 2**0.5, atol=1e-4)
    assert np.isclose(wasserstein(a, a[::-1] + shift), np.hypot(dx, dy), atol=1e-3)
    assert np.isclose(sliced_wasserstein(scale * a, scale * (a + 1)), scale * sliced_wasserstein(a, a + 1), rtol=1e-3)


def test_both_are_symmetric_and_blind_to_order_and_rotation():
    """M1."""
    a, b = swiss_roll(KEYS[0], 200), swiss_roll(KEYS[1], 200) * 1.1
    turn = jnp.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    for distance in (sliced_wasserstein, wasserstein):
        here = distance(a, b)
        assert here > 0.01 and np.isclose(distance(b, a), here, rtol=1e-4) and np.isclose(distance(a[::-1], b), here, rtol=1e-4)
        assert np.isclose(distance(a @ turn.T, b @ turn.T), here, rtol=2e-3)


def test_sliced_distance_is_the_mean_over_directions_of_sorted_differences():
    """M2: a sort in each direction, with as many quantiles as points."""
    a, b = np.asarray(swiss_roll(KEYS[0], 400)), np.asarray(swiss_roll(KEYS[1], 400)) * 1.2
    squares = []
    for angle in np.arange(50) * np.pi / 50:
        axis = np.array([np.cos(angle), np.sin(angle)])
        squares.append(np.mean((np.sort(a @ axis) - np.sort(b @ axis)) ** 2))
    assert np.isclose(sliced_wasserstein(jnp.asarray(a), jnp.asarray(b), 50, 400), np.mean(squares) ** 0.5, rtol=0.02)


def test_quantiles_are_taken_in_the_middle_of_equal_shares():
    """M2: three directions, seven quantiles, clouds of different sizes."""
    a, b = np.asarray(swiss_roll(KEYS[0], 30)), np.asarray(swiss_roll(KEYS[1], 50)) * 1.5
    levels, squares = [1 / 14, 3 / 14, 5 / 14, 7 / 14, 9 / 14, 11 / 14, 13 / 14], []
    for angle in (0, np.pi / 3, 2 * np.pi / 3):
        axis = np.array([np.cos(angle), np.sin(angle)])
        squares.append(np.mean((np.quantile(a @ axis, levels) - np.quantile(b @ axis, levels)) ** 2))
    assert np.isclose(sliced_wasserstein(jnp.asarray(a), jnp.asarray(b), 3, 7), np.mean(squares) ** 0.5, rtol=1e-4)


def test_exact_distance_is_the_least_over_all_matchings():
    """M2: every matching of five points tried."""
    a, b = np.asarray(jax.random.normal(KEYS[0], (5, 3))), np.asarray(jax.random.normal(KEYS[1], (5, 3)))
    least = min(np.mean(((a - b[list(order)]) ** 2).sum(1)) for order in itertools.permutations(range(5)))
    assert np.isclose(wasserstein(jnp.asarray(a), jnp.asarray(b)), least**0.5, rtol=1e-5)


def test_the_noise_floor_falls_like_the_root_of_the_number_of_points():
    """M4."""
    floors = [np.mean([sliced_wasserstein(*(swiss_roll(k, n) for k in jax.random.split(key)), num_angles=20) for key in KEYS]) for n in (400, 6400)]
    assert 2.5 < floors[0] / floors[1] < 6.5


def test_a_permutation_test_of_the_distance_is_honest_and_sees_a_shift():
    """M3: its p-values are uniform where both clouds have one law; a shift by half a unit is found nearly always."""
    statistic = lambda a, b: sliced_wasserstein(jnp.asarray(a), jnp.asarray(b), num_angles=8, num_quantiles=40)
    draws = np.asarray(swiss_roll(KEYS[2], 200 * 80)).reshape(200, 2, 40, 2)
    rng = np.random.default_rng(0)

    def p_value(a, b, resamples=19):
        both, found = np.concatenate([a, b]), statistic(a, b)
        others = (np.split(rng.permutation(both), 2) for _ in range(resamples))
        return (1 + sum(statistic(*pair) >= found for pair in others)) / (1 + resamples)

    p = np.array([p_value(*pair) for pair in draws])
    bound = np.sqrt(np.log(2 / 1e-6) / (2 * len(p)))  # Dvoretzky-Kiefer-Wolfowitz; p takes 20 values, at each of which the law is exact
    levels = np.arange(1, 21) / 20
    assert np.abs((p[:, None] <= levels + 1e-9).mean(0) - levels).max() < bound
    assert np.mean([p_value(a, b + [[1.0, 0.0]]) <= 0.05 for a, b in draws[:100]]) >= 0.99


def test_root_mean_square_length():
    assert np.isclose(rms(jnp.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])), (26 / 3) ** 0.5)


def test_strays_are_the_samples_away_from_the_data():
    data, fresh = swiss_roll(KEYS[0], 3000), swiss_roll(KEYS[1], 3000)
    assert jitlib.stray(data, data, fresh) == 0 and abs(jitlib.stray(fresh, data, fresh) - 0.001) < 0.001
    mixed = jnp.concatenate([data[:900], jnp.full((100, 2), 5.0)])
    assert jitlib.stray(mixed, data, fresh) == pytest.approx(0.1)
    assert jitlib.stray(fresh, data, fresh, level=0.9) == pytest.approx(0.1, abs=0.001)


def test_effective_rank_counts_equal_variances():
    assert np.isclose(jitlib.effective_rank(jnp.array([2.0, 2.0, 2.0, 0.0])), 3) and np.isclose(jitlib.effective_rank(jnp.array([3.0, 1.0])), 1.6)


def test_frechet_distance_of_normal_clouds_with_known_covariances():
    """M1, M2.  Commuting covariances: |difference of means|^2 + sum (sqrt a - sqrt b)^2; a pair that does not commute against scipy's root."""
    a, b = jax.random.normal(KEYS[0], (200_000, 2)), jax.random.normal(KEYS[1], (200_000, 2))
    row = lambda *numbers: jnp.array([numbers])
    assert np.isclose(jitlib.frechet(a * row(2.0, 1.0) + row(1.0, 0.0), b * row(1.0, 3.0) + row(0.0, 2.0)), 5 + 1 + 4, rtol=0.02)
    one, other = a[:500] * row(2.0, 1.0), b[:400] @ jnp.array([[1.0, 0.8], [0.0, 0.5]])
    A, B = np.cov(np.asarray(one, np.float64).T), np.cov(np.asarray(other, np.float64).T)
    shift = np.asarray(one, np.float64).mean(0) - np.asarray(other, np.float64).mean(0)
    assert np.isclose(jitlib.frechet(one, other), shift @ shift + np.trace(A + B - 2 * scipy.linalg.sqrtm(A @ B).real), rtol=1e-6)
    assert jitlib.frechet(a[:300], a[:300][::-1]) == pytest.approx(0, abs=1e-9)
    turn = jnp.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    assert jitlib.frechet(other, one) == pytest.approx(jitlib.frechet(one, other)) == pytest.approx(jitlib.frechet(one @ turn.T, other @ turn.T), rel=1e-4)
    flat = jax.random.normal(KEYS[2], (500, 8)) @ jax.random.normal(KEYS[3], (8, 64))  # of rank 8
    assert jitlib.frechet(flat, flat) == pytest.approx(0, abs=1e-9)
    two = jnp.array([[0.0], [2.0]])  # the fewest points: mean 1, variance 2
    assert jitlib.frechet(two, 0 * two) == pytest.approx(1 + 2)
    line = a[:300, :1]
    assert jitlib.frechet(line, 0 * line) == pytest.approx(float(line.mean() ** 2 + line.var(ddof=1)), rel=1e-4)
