"""The trainer: equal to the plain loop, one trace, resumable in parts, honest about failure, and it learns."""
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jitlib
from jitlib import EPS, MLP, TARGETS, V, X, Embedded, FlowLoss, Gaussian, fit, orthonormal, swiss_roll, update

KEYS = jax.random.split(jax.random.key(0), 8)
ADAM = jitlib.train.ADAM
step = eqx.filter_jit(update)


def leaves(model):
    return jax.tree.leaves(eqx.filter(model, eqx.is_array))


def close(one, other, atol=1e-5):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.fixture(scope="module")
def data():
    return Embedded(swiss_roll(KEYS[3], 500), orthonormal(KEYS[4], 8))


def test_the_network_by_hand():
    model, z = MLP(KEYS[1], 3, 50, 3), np.asarray(jax.random.normal(KEYS[2], (3,)))
    y = np.append(z, np.float32(0.3))
    for weight, bias in model.layers:
        within = np.append(weight.ravel(), bias) * np.sqrt(weight.shape[1])
        assert 0.9 < np.abs(within).max() <= 1 + 1e-6
        y = weight @ y + bias
        y = y if bias.shape == (3,) else np.maximum(y, 0)
    np.testing.assert_allclose(model(jnp.asarray(z), jnp.asarray(0.3)), y, rtol=1e-5, atol=1e-6)
    assert y.min() < 0  # the last layer is not rectified


def test_scan_equals_the_plain_loop(data):
    """T1."""
    loss, steps = FlowLoss(X), 20
    model, losses = MLP(KEYS[5], 8, 16, 3), []
    fitted, history = fit(KEYS[6], model, data, loss, steps, 32)
    opt_state = ADAM.init(eqx.filter(model, eqx.is_inexact_array))
    for key, rate in zip(jax.random.split(KEYS[6], steps), jitlib.warmup_cosine(5e-3, steps)):
        model, opt_state, value = step(model, opt_state, key, rate, data, loss, 32)
        losses.append(value)
    np.testing.assert_allclose(history, losses, rtol=1e-5)
    close(fitted, model)


def test_two_parts_are_the_whole(data):
    """T2: the state carried between chunks is all there is."""
    model, loss = MLP(KEYS[5], 8, 16, 3), jax.tree.map(lambda a: a if callable(a) else jnp.asarray(a), FlowLoss(V))
    state, keys, rates = ADAM.init(eqx.filter(model, eqx.is_array)), jax.random.split(KEYS[6], 12), jnp.full(12, 1e-3)
    whole, _, losses = jitlib.train.run_chunk(model, state, keys, rates, data, loss, 16, ADAM)
    half, state, first = jitlib.train.run_chunk(model, state, keys[:6], rates[:6], data, loss, 16, ADAM)
    other, _, second = jitlib.train.run_chunk(half, state, keys[6:], rates[6:], data, loss, 16, ADAM)
    np.testing.assert_allclose(jnp.concatenate([first, second]), losses, rtol=1e-6)
    close(whole, other, 1e-6)


def test_a_seed_decides_everything_and_another_seed_something_else(data):
    """T3, T7."""
    run = lambda key: fit(key, MLP(KEYS[5], 8, 16, 3), data, FlowLoss(X), 130, 16)
    (one, first), (same, again), (_, other) = run(KEYS[6]), run(KEYS[6]), run(KEYS[7])
    assert first.shape == (130,) and np.isfinite(first).all()
    np.testing.assert_allclose(first, again, rtol=1e-6)
    close(one, same, 1e-6)
    assert np.abs(first - other).max() > 1e-3


def test_a_batch_draws_every_row_and_steps_draw_different_rows_times_and_noise(data):
    """T4 (with replacement), T9."""
    model, seen = MLP(KEYS[1], 3, 8, 2), []

    def spy(model, key, x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return FlowLoss(X)(model, key, x)

    rows = jnp.arange(8.0)[:, None] * jnp.ones((1, 3))
    fit(KEYS[0], model, rows, spy, 40, 16)
    jax.effects_barrier()
    assert len(seen) == 40 and all(x.shape == (16, 3) for x in seen) and {float(v) for x in seen for v in x[:, 0]} == set(range(8))
    assert len({x.tobytes() for x in seen}) == 40
    counts = np.bincount(np.concatenate([x[:, 0] for x in seen]).astype(int))
    assert 45 < counts.min() and counts.max() < 115  # 80 each; their standard deviation is 8.4
    values = jax.jit(jax.vmap(lambda key: FlowLoss(X)(model, key, jnp.ones((4, 3)))))(jax.random.split(KEYS[2], 20))
    assert len(set(values.tolist())) == 20


@pytest.mark.skipif(jax.__version_info__ < (0, 6), reason="the checker of that release sees no reuse outside compiled functions")
def test_no_key_is_used_twice(data):
    """T9: JAX's own checker of key reuse."""
    model = MLP(KEYS[5], 8, 8, 2)
    with jax.debug_key_reuse(True):
        state = ADAM.init(eqx.filter(model, eqx.is_array))
        step(model, state, jax.random.key(1), 1e-3, data, FlowLoss(X), 4)
        jitlib.sample(jax.random.key(2), model, V, 3, 8, num_steps=2)
        fit(jax.random.key(4), model, data, FlowLoss(X, times=jitlib.LogitNormal(), mean_target=True), 2, 4)
        labelled, told = jitlib.Labelled(data[:9], jnp.ones((9, 2))), lambda z, t, label: model(z, t)
        step(told, ADAM.init(None), jax.random.key(5), 1e-3, labelled, jitlib.Conditional(FlowLoss(X, times=jitlib.stratified)), 4)
        with pytest.raises(jax.errors.KeyReuseError):
            key = jax.random.key(3)
            jax.random.normal(key), jax.random.normal(key)


def test_one_trace_serves_seeds_planes_and_predictions():
    """T6."""
    traces = []

    def times(key, shape=()):
        traces.append(shape)
        return jitlib.uniform(key, shape)

    for seed, target in enumerate([X, EPS, V]):
        keys = jax.random.split(jax.random.key(seed), 4)
        data = Embedded(swiss_roll(keys[0], 100), orthonormal(keys[1], 6))
        fit(keys[2], MLP(keys[3], 6, 8, 2), data, FlowLoss(target, times=times), 250, 4, learning_rate=1e-3 * (seed + 1))
    assert len(traces) == 1


def test_stacked_models_train_like_single_ones(data):
    keys = jax.random.split(KEYS[7], 2)
    models = jitlib.stack([MLP(k, 8, 16, 3) for k in keys])
    _, both = fit(keys, models, jitlib.stack([data] * 2), jitlib.stack([FlowLoss(V)] * 2), 20, 16, jnp.full(2, 1e-3))
    for i in range(2):
        _, one = fit(keys[i], MLP(keys[i], 8, 16, 3), data, FlowLoss(V), 20, 16, 1e-3)
        np.testing.assert_allclose(both[i], one, rtol=1e-5)


def test_training_stops_at_a_non_finite_loss_and_hands_over_what_was_sound(data):
    """T5."""
    def loss(model, key, x):  # a plain function serves as a loss
        return jnp.mean(jax.vmap(model, (0, None))(x, jnp.asarray(0.5))) * jnp.inf

    with pytest.raises(jitlib.Diverged, match="the loss became .* at step 0; expected finite numbers") as caught:
        fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), data, loss, 10, 4)
    assert caught.value.step == 0

    rates = jnp.zeros(300).at[250].set(float(jnp.finfo(jnp.result_type(float)).max) ** 0.8)
    with pytest.raises(jitlib.Diverged) as caught:
        fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), data, FlowLoss(X), 300, 4, rates)
    assert caught.value.step == 251 and caught.value.losses.shape == (200,)
    close(caught.value.model, MLP(KEYS[1], 8, 8, 2), 0)


@pytest.mark.parametrize("steps", [1, 150])
def test_a_weight_that_is_not_a_number_is_never_returned_though_every_loss_is_finite(data, steps):
    """T5: the gradient of the root of 0 times a weight is NaN; it is seen at the end of the chunk, and 150 steps are two chunks of 75."""

    def loss(model, key, x):
        weight = model.layers[0][0][0, 0]
        return jnp.where(jnp.isnan(weight), 1.0, jnp.sqrt(0 * weight))

    start = MLP(KEYS[1], 8, 8, 2)
    with pytest.raises(jitlib.Diverged, match=f"a weight became infinite or NaN by step {min(steps, 75) - 1}; expected") as caught:
        fit(KEYS[0], start, data, loss, steps, 4)
    assert caught.value.losses.shape == (0,)
    close(caught.value.model, start, 0)


def test_no_number_changes_its_precision_on_the_way(data):
    """T10: data in double precision are taken in the precision at hand, and nothing comes back in another."""
    here = jnp.zeros(()).dtype
    model, losses = fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), np.asarray(data[:50], np.float64), FlowLoss(X, mean_target=True), 3, 4)
    assert {leaf.dtype for leaf in leaves(model)} == {here} and losses.dtype == here
    assert jitlib.sample(KEYS[2], model, X, 3, 8, num_steps=2).dtype == jitlib.interpolate(data[:2], data[:2], np.float64(0.5)).dtype == here
    assert jitlib.stratified(KEYS[2], (3,)).dtype == jitlib.LogitNormal()(KEYS[2], (3,)).dtype == jitlib.time_grid(3).dtype == here


def test_interruption_returns_what_there_is(data, monkeypatch):
    real, calls = jitlib.train.run_chunk, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(jitlib.train, "run_chunk", interrupted)
    _, losses = fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), data, FlowLoss(X), 400, 4)
    assert losses.shape == (200,)


def test_long_training_shows_its_progress(data, capsys, monkeypatch):
    def shown(**options):
        fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), data, FlowLoss(X), 200, 4, **options)
        return capsys.readouterr().err

    monkeypatch.setattr(jitlib.train, "PATIENCE", 1000)
    assert shown() == ""  # it was short
    monkeypatch.setattr(jitlib.train, "PATIENCE", 0)
    assert "200/200" in shown() and shown(progress=False) == ""


def test_zero_steps_return_the_model(data):
    """T7."""
    model = MLP(KEYS[1], 8, 8, 2)
    same, losses = fit(KEYS[0], model, data, FlowLoss(X), 0, 4)
    assert same is model and losses.shape == (0,)


def at_one_time(key, shape=()):
    return jnp.full(shape, 0.6)


class Affine(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, z, t):
        return self.weight @ z + self.bias


@pytest.mark.parametrize("p", TARGETS)
def test_an_affine_model_learns_a_gaussian_to_its_least_loss(p):
    """T8: at one fixed time the best predictor is affine, and its loss is known."""
    g, t = Gaussian(jnp.array([0.5, -0.3]), jnp.array([1.0, 0.2]), jnp.eye(2)), float(at_one_time(None))
    x = g.mean[None] + jax.random.normal(KEYS[0], (20_000, 2)) * jnp.sqrt(g.variances)[None]
    loss = FlowLoss(TARGETS[p], times=at_one_time)
    model, _ = fit(KEYS[1], Affine(jnp.zeros((2, 2)), jnp.zeros(2)), x, loss, 1500, 512, 2e-2)
    eps = jax.random.normal(KEYS[2], x.shape)
    values = jax.vmap(loss.at, in_axes=(None, 0, 0, None))(model, x, eps, jnp.asarray(t))
    least, error = float(g.minimum_loss(V, t)), float(values.std() / len(values) ** 0.5)
    assert least - 4 * error < values.mean() < 1.02 * least + 4 * error


def test_the_schedule_rises_for_a_twentieth_and_falls_to_a_hundredth():
    rates = np.asarray(jitlib.warmup_cosine(2.0, 200))
    assert rates.shape == (200,) and rates.argmax() in (9, 10) and np.isclose(rates.max(), 2.0, rtol=1e-3)
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-5)
    assert np.isclose(rates[-1], 0.02, rtol=0.1) and (np.diff(rates[10:]) < 0).all()
    assert jitlib.warmup_cosine(jnp.array([1.0, 3.0]), 50).shape == (2, 50)


def test_another_optimizer_and_its_rate_are_used(data):
    model = MLP(KEYS[1], 8, 8, 2)
    plain = lambda rate: fit(KEYS[0], model, data, FlowLoss(X), 1, 4, jnp.full(1, rate), optax.identity())[0]
    gradient = jax.tree.map(lambda a, b: a - b, leaves(model), leaves(plain(1e-3)))
    twice = jax.tree.map(lambda a, b: a - b, leaves(model), leaves(plain(2e-3)))
    for a, b in zip(gradient, twice):
        np.testing.assert_allclose(2 * a, b, atol=1e-6)
    assert max(float(jnp.abs(g).max()) for g in gradient) > 1e-5


def test_the_optimizer_is_adam_with_a_short_memory():
    """Two steps by hand: m / sqrt(v), both corrected for their start, with memories 0.9 and 0.95."""
    state, m, v = ADAM.init(jnp.zeros(1)), 0.0, 0.0
    for step, g in enumerate((0.3, -0.1, 0.0), 1):
        change, state = ADAM.update(jnp.array([g]), state)
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        np.testing.assert_allclose(change, m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8), rtol=1e-4)
