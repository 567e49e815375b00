"""Conversions between targets: round trips, ends, identities, shapes."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from precision import double

from jitlib import EPS, TARGETS, V, X, Target, convert, determinant, interpolate, recover

PAIRS = list(itertools.product(TARGETS, repeat=2))
KEYS = jax.random.split(jax.random.key(0), 4)
number = st.floats(-2, 2, width=32)


def draws(n=500, dim=3, low=0.05, high=0.95):
    draw = np.random.default_rng(0)
    return tuple(jnp.asarray(a, float) for a in (*draw.standard_normal((2, n, dim)), draw.uniform(low, high, n)))


def test_the_path_runs_from_noise_to_data_and_the_targets_are_what_they_are_called():
    x, eps = jnp.array([1.0, 2.0]), jnp.array([5.0, -3.0])
    assert (interpolate(x, eps, 0.0) == eps).all() and (interpolate(x, eps, 1.0) == x).all()
    assert (interpolate(x, eps, 0.25) == 0.25 * x + 0.75 * eps).all()
    assert (X.of(x, eps) == x).all() and (EPS.of(x, eps) == eps).all() and (V.of(x, eps) == x - eps).all()
    slope = jax.jvp(lambda t: interpolate(x, eps, t), (0.3,), (1.0,))[1]
    np.testing.assert_allclose(slope, V.of(x, eps), rtol=1e-6)  # v is the velocity of the path


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_determinants_of_the_three(t):
    found = [determinant(target, t) for target in (X, EPS, V)]
    np.testing.assert_allclose(found, [-(1 - t), t, -1.0], atol=1e-7)


@pytest.mark.parametrize("p, q", PAIRS)
def test_every_target_converts_to_every_other_and_back(p, q):
    """C1."""
    with double():
        x, eps, t = draws(2000)
        assert x.dtype == jnp.float64
        z, y = interpolate(x, eps, t), TARGETS[p].of(x, eps)
        there = convert(y, z, t, TARGETS[p], TARGETS[q])
        np.testing.assert_allclose(there, TARGETS[q].of(x, eps), atol=1e-10)
        np.testing.assert_allclose(convert(there, z, t, TARGETS[q], TARGETS[p]), y, atol=1e-10)


@pytest.mark.parametrize("t", [1e-3, 1e-2, 0.99, 0.999])
@pytest.mark.parametrize("p, q", PAIRS)
def test_near_the_ends_single_precision_loses_no_more_than_the_determinant_says(p, q, t):
    """C2: 8 roundings, grown by 1 / min(t, 1 - t)."""
    x, eps, _ = draws()
    y = convert(TARGETS[p].of(x, eps), interpolate(x, eps, t), t, TARGETS[p], TARGETS[q])
    scale = float(jnp.abs(x).max() + jnp.abs(eps).max())
    assert jnp.abs(y - TARGETS[q].of(x, eps)).max() < 8 * 2**-24 * scale / min(t, 1 - t)


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("p, q", PAIRS)
def test_at_the_very_ends_a_conversion_is_finite_or_refused(p, q, t):
    """C3."""
    x, eps, _ = draws(5)
    z, y = interpolate(x, eps, t), TARGETS[p].of(x, eps)
    assert np.isfinite(convert(y, z, t, TARGETS[p], TARGETS[q], floor=0.05)).all()
    if determinant(TARGETS[p], t) == 0:
        with pytest.raises(ValueError, match=f"determinant 0 at t = {t:g}; expected another time, or a floor above 0"):
            convert(y, z, t, TARGETS[p], TARGETS[q])
    else:
        np.testing.assert_allclose(convert(y, z, t, TARGETS[p], TARGETS[q]), TARGETS[q].of(x, eps), atol=1e-6)


@pytest.mark.parametrize("p", TARGETS)
def test_recovered_pair_reproduces_point_and_prediction(p):
    """C4: z = t x + (1 - t) eps and y = a x + b eps hold for any output, not only a true one."""
    with double():
        z, y, t = draws()
        x, eps = recover(y, z, t, TARGETS[p])
        np.testing.assert_allclose(interpolate(x, eps, t), z, atol=1e-12)
        np.testing.assert_allclose(TARGETS[p].of(x, eps), y, atol=1e-12)


@given(a=number, b=number, c=number, d=number, t=st.floats(0, 1, width=32))
@settings(max_examples=200, deadline=None)
def test_any_two_rows_convert_there_and_back(a, b, c, d, t):
    p, q = Target(a, b), Target(c, d)
    with double():
        x, eps, t = jnp.array([0.7, -1.3]), jnp.array([0.2, 2.1]), jnp.asarray(t, float)
        assume(abs(determinant(p, t)) > 0.05)
        z, y = interpolate(x, eps, t), p.of(x, eps)
        there = convert(y, z, t, p, q)
        np.testing.assert_allclose(there, q.of(x, eps), atol=1e-10)
        np.testing.assert_allclose(sum(recover(y, z, t, p)), x + eps, atol=1e-10)


def test_a_time_is_a_number_or_one_for_each_example():
    """C5."""
    x, eps, _ = draws(4)
    t = jnp.full(4, 0.3)
    np.testing.assert_allclose(interpolate(x, eps, t), interpolate(x, eps, 0.3), rtol=1e-6)
    np.testing.assert_allclose(convert(x, eps, t, X, V), convert(x, eps, 0.3, X, V), rtol=1e-6)
    for wrong in (t[:, None], t[:3]):
        with pytest.raises(ValueError, match="t has shape"):
            interpolate(x, eps, wrong)
        with pytest.raises(ValueError, match="t has shape"):
            convert(x, eps, wrong, X, V)


def test_floor_keeps_the_sign_of_the_determinant():
    assert determinant(X, 1.0, 0.05) == -0.05 and determinant(EPS, 0.0, 0.05) == 0.05
    assert determinant(V, 0.3, 0.05) == -1 and np.isclose(determinant(X, 0.5, 0.05), -0.5)
    assert determinant(X, 0.97, 0.05) == -0.05 and determinant(EPS, 0.97, 0.05) == 0.97


@pytest.mark.parametrize("t", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("p, q", PAIRS)
def test_the_floor_bounds_both_determinants_of_a_conversion(p, q, t):
    """y' = (Delta' y + [q, p] z) / Delta, with both |Delta| at least the floor: by hand."""
    y, z = jnp.array([0.3, -1.2]), jnp.array([0.9, 0.4])
    floored = {"x": -max(1 - t, 0.1), "eps": max(t, 0.1), "v": -1.0}
    (a, b), (c, d) = TARGETS[q], TARGETS[p]
    np.testing.assert_allclose(convert(y, z, t, TARGETS[p], TARGETS[q], 0.1), (floored[q] * y + (a * d - b * c) * z) / floored[p], rtol=1e-5)
