"""Nine losses: their weights, floors, gradients and least values."""
import functools

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from precision import double
from jax.test_util import check_grads

from jitlib import MLP, TARGETS, V, X, Embedded, FlowLoss, Gaussian, Skip, convert, fit, interpolate, orthonormal, swiss_roll
from test_target import KEYS, PAIRS, draws

KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def data():
    return Embedded(swiss_roll(KEYS[3], 500), orthonormal(KEY, 8))


@pytest.mark.parametrize("p, l", PAIRS)
def test_weight_equals_the_loss_taken_the_long_way(p, l):
    """L1: convert the prediction to the loss's space, and compare there."""
    with double():
        x, eps, t = draws()
        z, y = interpolate(x, eps, t), TARGETS[p].of(x, eps) + jax.random.normal(KEY, x.shape)
        long_way = jnp.mean((convert(y, z, t, TARGETS[p], TARGETS[l]) - TARGETS[l].of(x, eps)) ** 2, -1)
        np.testing.assert_allclose(FlowLoss(TARGETS[p], TARGETS[l], floor=0.0).of(y, x, eps, t), long_way, rtol=1e-11)


@given(t=st.floats(0, 1, width=32), floor=st.floats(0.01, 0.5))
@settings(max_examples=100, deadline=None)
def test_weights_and_their_floor_are_those_of_the_book(t, floor):
    """L2: table 3.1, inside and outside the floor."""
    low = {"x": max(1 - t, floor), "eps": max(t, floor), "v": 1.0}
    for p, l in PAIRS:
        np.testing.assert_allclose(FlowLoss(TARGETS[p], TARGETS[l], floor=floor).weight(t), (low[l] / low[p]) ** 2, rtol=1e-4)


@pytest.mark.parametrize("p, l", PAIRS)
def test_gradients_are_those_of_differences(p, l):
    """L3."""
    with double():
        x, eps, t = draws(4)
        model = MLP(KEY, 3, 4, 2, jax.nn.tanh)
        weights, rest = eqx.partition(model, eqx.is_array)
        loss = FlowLoss(TARGETS[p], TARGETS[l])
        value = lambda w: jnp.mean(jax.vmap(loss.at, in_axes=(None, 0, 0, 0))(eqx.combine(w, rest), x, eps, t))
        check_grads(value, (weights,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("p", TARGETS)
def test_gaussian_predictor_attains_its_minimum_loss_and_a_perturbation_raises_it(p):
    """L4, in all three spaces of the loss."""
    g = Gaussian(jnp.array([0.5, -0.2, 0.1]), jnp.array([1.5, 0.4, 0.0]), orthonormal(KEY, 3, 3))
    n, t, target = 100_000, 0.3, TARGETS[p]
    noise = jax.random.normal(KEYS[0], (2, n, 3))
    x = g.mean[None] + (noise[0] * jnp.sqrt(g.variances)[None]) @ g.axes.T
    y_hat = jax.vmap(g.predict(target), in_axes=(0, None))(interpolate(x, noise[1], t), t)
    for space in TARGETS.values():
        of = lambda y: FlowLoss(target, space).of(y, x, noise[1], jnp.full(n, t))
        error, worse = of(y_hat), of(y_hat + 0.1)
        assert abs(error.mean() - g.minimum_loss(space, t)) < 4 * error.std() / n**0.5
        assert abs((worse - error).mean() - 0.01 * FlowLoss(target, space).weight(t)) < 4 * (worse - error).std() / n**0.5


@given(t=st.sampled_from([0.0, 0.01, 0.3, 0.99, 1.0]), floor=st.floats(0.01, 0.5), size=st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_a_perfect_prediction_has_loss_zero_and_no_prediction_less(t, floor, size):
    """L5."""
    x, eps, _ = draws(3)
    t = jnp.full(3, t)
    for p, l in PAIRS:
        loss = FlowLoss(TARGETS[p], TARGETS[l], floor=floor)
        assert (loss.of(TARGETS[p].of(x, eps), x, eps, t) == 0).all()
        assert (loss.of(TARGETS[p].of(x, eps) + size, x, eps, t) >= 0).all()


def test_the_loss_of_a_batch_is_the_mean_of_its_examples_with_noise_and_times_of_its_key(data):
    """The order of the batch does not matter (L5), and the pieces are those of one example."""
    model, loss, x = MLP(KEY, 8, 8, 2), FlowLoss(X), data[:16]
    time_key, noise_key = jax.random.split(KEY)
    t, eps = jax.random.uniform(time_key, (16,)), jax.random.normal(noise_key, x.shape)
    at = eqx.filter_jit(loss.at)
    one_by_one = [at(model, *row) for row in zip(x, eps, t)]
    np.testing.assert_allclose(loss(model, KEY, x), np.mean(one_by_one), rtol=1e-5)
    z = t[:, None] * x + (1 - t)[:, None] * eps
    by_hand = [float(loss.weight(t[i])) * np.mean((model(z[i], t[i]) - x[i]) ** 2) for i in range(16)]
    np.testing.assert_allclose(one_by_one, by_hand, rtol=1e-4)


def test_a_time_of_several_examples_weights_each_of_them():
    x, y = jnp.asarray(np.random.default_rng(0).standard_normal((2, 2, 2, 5)), float)
    t = jnp.array([0.2, 0.9])
    by_row = jnp.stack([FlowLoss(X).of(y[i], x[i], x[i], t[i]) for i in range(2)])
    np.testing.assert_allclose(FlowLoss(X).of(y, x, x, t), by_row, rtol=1e-6)


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("p, l", PAIRS)
def test_gradients_are_finite_at_both_ends(p, l, t):
    """L6."""
    x, eps, _ = draws(2)
    gradient = eqx.filter_grad(lambda m: FlowLoss(TARGETS[p], TARGETS[l]).at(m, x[0], eps[0], jnp.asarray(t)))(MLP(KEY, 3, 8, 2))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_array)))


def test_the_mean_target_is_the_exact_mean_over_the_batch_on_the_same_line():
    """sum_i w_i u_i by hand in double precision; at the far end of the path it is the drawn pair again."""
    x, eps, _ = draws(64, 3)
    seen = []

    class Spy(FlowLoss):
        def of(self, y, x, eps, t):
            seen.extend(zip(*map(np.asarray, (x, eps, t))))
            return FlowLoss.of(self, y, x, eps, t)

    spy = lambda times: Spy(V, times=times, mean_target=True)(lambda z, t: z, KEY, x)
    spy(lambda key, shape: jnp.linspace(0.0, 0.99, 64))
    noise = np.asarray(jax.random.normal(jax.random.split(KEY)[1], x.shape), np.float64)
    points = np.asarray(x, np.float64)
    assert len(seen) == 64
    for row, (mean, mean_eps, t) in enumerate(seen):
        t = float(t)
        z = t * points[row] + (1 - t) * noise[row]
        logs = -((z - t * points) ** 2).sum(1) / (2 * (1 - t) ** 2)
        weights = np.exp(logs - logs.max())
        np.testing.assert_allclose(mean, weights @ points / weights.sum(), atol=2e-3)
        np.testing.assert_allclose(t * mean + (1 - t) * mean_eps, z, atol=1e-5)
    seen.clear()
    spy(lambda key, shape: jnp.full(shape, 1 - 2.0**-20))
    np.testing.assert_allclose([mean for mean, *_ in seen], points, atol=1e-4)
    np.testing.assert_allclose([e for _, e, _ in seen], noise, atol=0.3)  # rounding over 1 - t


def test_the_mean_target_has_the_same_gradient_on_average_and_less_noise(data):
    """On a batch that is all the data the mean gradients agree; on drawn batches, near the optimum, one gradient is far less noisy."""
    model, _ = fit(KEY, MLP(KEY, 8, 32, 3), data, FlowLoss(X, X), 500, 128)
    middle = lambda key, shape: jax.random.uniform(key, shape, minval=0.3, maxval=0.7)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(mean, fresh):
        def one(key):
            rows = jnp.where(fresh, jax.random.randint(key, (100,), 0, 500), jnp.arange(100))
            gradient = eqx.filter_grad(FlowLoss(X, X, middle, mean_target=mean))(model, key, data[rows])
            return jax.flatten_util.ravel_pytree(eqx.filter(gradient, eqx.is_array))[0]

        return jax.lax.map(one, jax.random.split(KEYS[1], 400))

    spread = lambda mean: np.asarray(gradients(mean, True)).var(0).sum()
    drawn, mean = (np.asarray(gradients(mean, False)) for mean in (False, True))
    error = np.sqrt((drawn.var(0).sum() + mean.var(0).sum()) / 400)
    assert np.linalg.norm(drawn.mean(0) - mean.mean(0)) < 3 * error < 0.5 * np.linalg.norm(drawn.mean(0))
    assert spread(True) < 0.6 * spread(False)


def test_x_prediction_is_v_prediction_with_an_analytic_skip():
    """v = (x - z) / (1 - t): the same network, the same loss, the same gradient (chapter 10)."""
    net, (x, eps, t) = MLP(KEY, 3, 16, 3), draws(50)
    weights, rest = eqx.partition(net, eqx.is_array)
    as_x = lambda w: jnp.mean(jax.vmap(FlowLoss(X).at, in_axes=(None, 0, 0, 0))(eqx.combine(w, rest), x, eps, t))
    wrap = lambda w: Skip(eqx.combine(w, rest), lambda t: -1 / (1 - t), lambda t: 1 / (1 - t))
    as_v = lambda w: jnp.mean(jax.vmap(FlowLoss(V).at, in_axes=(None, 0, 0, 0))(wrap(w), x, eps, t))
    (one, gradient), (other, same) = (jax.jit(jax.value_and_grad(f))(weights) for f in (as_x, as_v))
    np.testing.assert_allclose(one, other, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(same)):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(a).max()) + 1e-6)
