"""Ideal predictors against sums and integrals done another way."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import double

from jitlib import EPS, TARGETS, V, X, Embedded, Gaussian, IdealPredictor, convert, orthonormal, swiss_roll

KEYS = jax.random.split(jax.random.key(11), 4)


def test_ideal_predictor_is_the_posterior_mean():
    points, z, t = np.asarray(swiss_roll(KEYS[0], 50), np.float64), np.array([0.3, -0.2]), 0.6
    density = np.exp(-((z - t * points) ** 2).sum(1) / (2 * (1 - t) ** 2))
    mean = density @ points / density.sum()
    for name, target in TARGETS.items():
        found = IdealPredictor(jnp.asarray(points, jnp.float32), target=target)(jnp.asarray(z, jnp.float32), jnp.asarray(t))
        np.testing.assert_allclose(found, target.a * mean + target.b * (z - t * mean) / (1 - t), atol=1e-5, err_msg=name)


def test_ideal_predictor_ignores_what_lies_off_the_plane():
    data = Embedded(swiss_roll(KEYS[0], 500), orthonormal(KEYS[1], 8))
    ideal, z, t = IdealPredictor(data.points, data.basis), jax.random.normal(KEYS[2], (8,)), jnp.asarray(0.7)
    inside = IdealPredictor(data.points)(data.project(z), t)
    np.testing.assert_allclose(ideal(z, t), data.lift(inside), atol=1e-5)
    np.testing.assert_allclose(ideal(z, t), IdealPredictor(data[:])(z, t), atol=1e-4)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_gaussian_predictions_are_one_and_a_many_point_sum_agrees(t):
    with double():
        g = Gaussian(jnp.array([0.5, -0.3]), jnp.array([1.5, 0.3]), orthonormal(KEYS[1], 2, 2))
        z = jnp.array([0.4, 0.9])
        x = g.predict(X)(z, t)
        for target in (EPS, V):
            np.testing.assert_allclose(convert(x, z, t, X, target), g.predict(target)(z, t), atol=1e-12)
        points = g.mean[None] + (jax.random.normal(KEYS[3], (400_000, 2)) * jnp.sqrt(g.variances)[None]) @ g.axes.T
        np.testing.assert_allclose(IdealPredictor(points)(z, jnp.asarray(t)), x, atol=0.02)


def test_the_exact_flow_carries_one_normal_law_to_the_other_and_composes():
    with double():
        g = Gaussian(jnp.array([0.5, -0.3]), jnp.array([1.5, 0.3]), jnp.eye(2))
        z = jnp.array([0.7, -1.1])
        np.testing.assert_allclose(g.flow(z, 0.0, 1.0), g.mean + jnp.sqrt(g.variances) * z, atol=1e-12)
        np.testing.assert_allclose(g.flow(g.flow(z, 0.0, 0.4), 0.4, 1.0), g.flow(z, 0.0, 1.0), atol=1e-12)
        slope = jax.jvp(lambda t: g.flow(z, 0.0, t), (0.35,), (1.0,))[1]
        np.testing.assert_allclose(slope, g.predict(V)(g.flow(z, 0.0, 0.35), 0.35), atol=1e-12)
