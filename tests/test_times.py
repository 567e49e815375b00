"""Densities of t and the grid of a sampler."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jitlib import LogitNormal, stratified, time_grid, uniform
from jitlib.times import ClippedUniform

KEY, N = jax.random.key(3), 20_000
BOUND = np.sqrt(np.log(2 / 1e-6) / (2 * N))  # Dvoretzky-Kiefer-Wolfowitz: a true density fails once in a million


@pytest.mark.parametrize("times, cdf", [
    (uniform, stats.uniform.cdf), (stratified, stats.uniform.cdf),
    (LogitNormal(), lambda t: stats.norm.cdf((np.log(t / (1 - t)) + 0.8) / 0.8)),
    (LogitNormal(1.0, 1.5), lambda t: stats.norm.cdf((np.log(t / (1 - t)) - 1) / 1.5)),
])
def test_times_have_the_density_they_claim(times, cdf):
    t = np.asarray(times(KEY, (N,)))
    assert t.shape == (N,) and (t >= 0).all() and (t < 1).all() and stats.kstest(t, cdf).statistic < BOUND
    assert times(KEY, ()).shape == () and (times(KEY, (4, 2)).shape) == (4, 2)


def test_stratified_times_have_one_in_every_cell_and_clipped_ones_have_atoms():
    t = np.asarray(stratified(KEY, (64,)))
    assert (np.sort((t * 64).astype(int)) == np.arange(64)).all()
    clipped = np.asarray(ClippedUniform(0.1, 0.7)(KEY, (N,)))
    assert np.isclose((clipped == 0.1).mean(), 0.1, atol=0.01) and np.isclose((clipped == 0.7).mean(), 0.3, atol=0.02)
    assert clipped.min() == 0.1 and clipped.max() == 0.7


def test_the_greatest_of_the_stratified_times_is_below_one_though_the_sum_rounds_up(monkeypatch):
    below = 1 - jnp.finfo(jnp.zeros(()).dtype).epsneg  # the greatest number that is drawn
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, below))
    t = stratified(KEY, (256,))
    assert 255 + t[0] * 256 == 256 and t[-1] == below and t[0] < 1 / 256 + 1e-6


@pytest.mark.parametrize("steps, start, stop", [(1, 0.0, 1.0), (4, 0.0, 1.0), (50, 0.05, 0.99)])
def test_a_grid_has_one_time_more_than_steps_and_reaches_both_ends(steps, start, stop):
    """S8."""
    grid = time_grid(steps, start, stop)
    assert grid.shape == (steps + 1,) and grid[0] == start and grid[-1] == stop
    np.testing.assert_allclose(jnp.diff(grid), (stop - start) / steps, rtol=1e-4)
