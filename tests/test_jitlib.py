"""The library against closed forms: conversions, losses, samplers, trainer, data and metrics."""
import ast
import itertools
from pathlib import Path

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import jitlib
from jitlib import EPS, MLP, TARGETS, V, X, Embedded, FlowLoss, Gaussian, IdealPredictor
from jitlib import convert, determinant, euler_step, fit, heun_step, integrate, interpolate, orthonormal, recover
from jitlib import rms, sample, sliced_wasserstein, swiss_roll, time_grid, velocity, wasserstein

PAIRS = list(itertools.product(TARGETS, repeat=2))
KEYS = jax.random.split(jax.random.key(0), 8)


def draws(n=500, dim=3, low=0.05, high=0.95):
    x, eps = jax.random.normal(KEYS[0], (n, dim)), jax.random.normal(KEYS[1], (n, dim))
    return x, eps, jax.random.uniform(KEYS[2], (n,), minval=low, maxval=high)


@pytest.fixture(scope="module")
def data():
    return Embedded(swiss_roll(KEYS[3], 500), orthonormal(KEYS[4], 8))


@pytest.mark.parametrize("p, q", PAIRS)
def test_every_target_converts_to_every_other(p, q):
    x, eps, t = draws()
    y = convert(TARGETS[p].of(x, eps), interpolate(x, eps, t), t, TARGETS[p], TARGETS[q])
    np.testing.assert_allclose(y, TARGETS[q].of(x, eps), atol=1e-4)


@pytest.mark.parametrize("p", TARGETS)
def test_recovered_pair_reproduces_point_and_prediction(p):
    """z = t x + (1 - t) eps and y = a x + b eps hold for any output, not only a true one."""
    z, y, t = draws()
    x, eps = recover(y, z, t, TARGETS[p])
    np.testing.assert_allclose(interpolate(x, eps, t), z, atol=2e-4)
    np.testing.assert_allclose(TARGETS[p].of(x, eps), y, atol=2e-4)


def test_floor_keeps_the_sign_of_the_determinant():
    assert determinant(X, 1.0, 0.05) == np.float32(-0.05) and determinant(EPS, 0.0, 0.05) == np.float32(0.05)
    assert determinant(V, 0.3, 0.05) == -1 and np.isclose(determinant(X, 0.5, 0.05), -0.5)


@pytest.mark.parametrize("p, l", PAIRS)
def test_weight_equals_the_loss_taken_the_long_way(p, l):
    x, eps, t = draws()
    z, y = interpolate(x, eps, t), TARGETS[p].of(x, eps) + 0.3
    long_way = jnp.mean((convert(y, z, t, TARGETS[p], TARGETS[l]) - TARGETS[l].of(x, eps)) ** 2, -1)
    np.testing.assert_allclose(FlowLoss(TARGETS[p], TARGETS[l], floor=0.0).weight(t) * 0.09, long_way, rtol=5e-3)


def test_weights_of_the_v_loss():
    t = np.array([0.2, 0.5, 0.9])
    for target, weight in [(X, 1 / (1 - t) ** 2), (EPS, 1 / t**2), (V, 1 + 0 * t)]:
        np.testing.assert_allclose(FlowLoss(target).weight(t), weight, rtol=1e-5)
    assert np.isclose(FlowLoss(X).weight(1.0), 400, rtol=1e-5)


def test_a_perfect_prediction_has_loss_zero_at_both_ends():
    x, eps, _ = draws(1)
    for target in TARGETS.values():
        for t in (0.0, 0.01, 0.5, 1.0):
            assert FlowLoss(target).at(lambda z, t: target.of(x[0], eps[0]), x[0], eps[0], t) == 0


def test_the_mean_target_is_the_exact_mean_over_the_batch_on_the_same_line():
    """sum_i w_i u_i by hand in double precision; at the far end of the path it is the drawn pair again."""
    x, eps, _ = draws(64, 3)
    seen = []

    class Spy(FlowLoss):
        def at(self, model, x, eps, t):
            jax.debug.callback(lambda *row: seen.append(row), x, eps, t)
            return FlowLoss.at(self, model, x, eps, t)

    spy = lambda times: Spy(V, times=times, mean_target=True)(lambda z, t: z, KEYS[5], x)
    spy(lambda key, shape: jnp.linspace(0.0, 0.99, 64))
    noise = np.asarray(jax.random.normal(jax.random.split(KEYS[5])[1], x.shape), np.float64)
    points = np.asarray(x, np.float64)
    jax.effects_barrier()
    assert len(seen) == 64
    for mean, mean_eps, t in seen:
        t = float(t)
        row = int(round(t / 0.99 * 63))
        z = t * points[row] + (1 - t) * noise[row]
        logs = -((z - t * points) ** 2).sum(1) / (2 * (1 - t) ** 2)
        weights = np.exp(logs - logs.max())
        np.testing.assert_allclose(mean, weights @ points / weights.sum(), atol=2e-3)
        np.testing.assert_allclose(t * mean + (1 - t) * mean_eps, z, atol=1e-5)
    seen.clear()
    spy(lambda key, shape: jnp.full(shape, 1 - 2.0**-20))
    jax.effects_barrier()
    order = [int(np.abs(points - np.asarray(mean)).sum(1).argmin()) for mean, *_ in seen]
    assert sorted(order) == list(range(64))
    np.testing.assert_allclose([e for _, e, _ in seen], noise[order], atol=0.3)  # rounding over 1 - t


def test_the_mean_target_has_the_same_gradient_on_average_and_less_noise(data):
    """On a batch that is all the data the mean gradients agree; on drawn batches, near the optimum, one gradient is far less noisy."""
    model, _ = fit(KEYS[5], MLP(KEYS[5], 8, 32, 3), data, FlowLoss(X, X), 500, 128)
    middle = lambda key, shape: jax.random.uniform(key, shape, minval=0.3, maxval=0.7)

    def gradients(mean, fresh):
        def one(key):
            rows = jax.random.randint(key, (100,), 0, 500) if fresh else jnp.arange(100)
            gradient = eqx.filter_grad(FlowLoss(X, X, middle, mean_target=mean))(model, key, data[rows])
            return jax.flatten_util.ravel_pytree(eqx.filter(gradient, eqx.is_array))[0]

        return np.asarray(jax.lax.map(one, jax.random.split(KEYS[6], 400)))

    drawn, mean = gradients(False, False), gradients(True, False)
    error = np.sqrt((drawn.var(0).sum() + mean.var(0).sum()) / 400)
    assert np.linalg.norm(drawn.mean(0) - mean.mean(0)) < 3 * error < 0.5 * np.linalg.norm(drawn.mean(0))
    assert gradients(True, True).var(0).sum() < 0.6 * gradients(False, True).var(0).sum()


@pytest.mark.parametrize("p", TARGETS)
def test_gaussian_predictor_attains_its_minimum_loss_and_a_perturbation_raises_it(p):
    g = Gaussian(jnp.array([0.5, -0.2, 0.1]), jnp.array([1.5, 0.4, 0.0]), orthonormal(KEYS[5], 3, 3))
    n, t, target = 100_000, 0.3, TARGETS[p]
    noise = jax.random.normal(KEYS[6], (2, n, 3))
    x = g.mean + (noise[0] * jnp.sqrt(g.variances)) @ g.axes.T
    y_hat = jax.vmap(g.predict(target), in_axes=(0, None))(interpolate(x, noise[1], t), t)
    error = jnp.mean((y_hat - target.of(x, noise[1])) ** 2, -1)
    assert abs(error.mean() - g.minimum_loss(target, t)) < 4 * error.std() / n**0.5
    worse = jnp.mean((y_hat + 0.1 - target.of(x, noise[1])) ** 2, -1)
    assert abs(worse.mean() - error.mean() - 0.01) < 4 * (worse - error).std() / n**0.5


def test_ideal_predictor_ignores_what_lies_off_the_plane(data):
    ideal, z = IdealPredictor(data.points, data.basis), jax.random.normal(KEYS[5], (8,))
    inside = IdealPredictor(data.points)(data.project(z), 0.7)
    np.testing.assert_allclose(ideal(z, 0.7), data.lift(inside), atol=1e-5)


@pytest.mark.parametrize("step, order", [(euler_step, 1), (heun_step, 2)])
def test_order_of_the_solver_on_the_exact_flow(step, order):
    g = Gaussian(jnp.array([0.5, -0.3]), jnp.array([1.5, 0.3]), jnp.eye(2))
    z = jax.random.normal(KEYS[5], (100, 2))
    exact = jax.vmap(lambda z: g.flow(z, 0.0, 1.0))(z)
    errors = []
    for n in (16, 32, 64):
        end = jax.vmap(lambda z: integrate(velocity(g.predict(V), V), z, time_grid(n), step))(z)
        errors.append(rms(end - exact))
    assert abs(np.log2(errors[0] / errors[2]) / 2 - order) < 0.15


@pytest.mark.parametrize("n, step", [(1, euler_step), (3, heun_step), (50, heun_step)])
def test_point_mass_is_hit_exactly(n, step):
    c = jnp.array([0.3, -1.2, 2.0])
    z = sample(KEYS[0], lambda z, t: c, X, 10, 3, num_steps=n, step=step)
    np.testing.assert_allclose(z, jnp.broadcast_to(c, z.shape), atol=1e-5)


@pytest.mark.parametrize("step", [euler_step, heun_step])
def test_noise_off_the_plane_shrinks_like_one_minus_t(step):
    z = integrate(velocity(lambda z, t: jnp.zeros_like(z), X), jnp.ones(4), time_grid(7, 0.0, 0.9), step)
    np.testing.assert_allclose(z, 0.1, rtol=1e-5)


def test_trajectory_holds_every_kth_state_and_eps_starts_late():
    end, states = sample(KEYS[0], lambda z, t: z, EPS, 5, 2, num_steps=6, save_every=2)
    assert states.shape == (4, 5, 2) and (states[-1] == end).all()
    noise = sample(KEYS[0], lambda z, t: z * 0, V, 5, 2, num_steps=1)
    np.testing.assert_allclose(states[0], 0.95 * noise, rtol=1e-5)


def test_time_grid_has_one_time_more_than_steps():
    np.testing.assert_allclose(time_grid(4), [0, 0.25, 0.5, 0.75, 1])


def test_scan_equals_the_plain_loop(data):
    loss, steps = FlowLoss(X), 20
    model, opt_state, losses = MLP(KEYS[5], 8, 16, 3), None, []
    fitted, history = fit(KEYS[6], model, data, loss, steps, 32)
    opt_state = jitlib.train.ADAM.init(eqx.filter(model, eqx.is_inexact_array))
    for key, rate in zip(jax.random.split(KEYS[6], steps), jitlib.warmup_cosine(5e-3, steps)):
        model, opt_state, value = jitlib.update(model, opt_state, key, rate, data, loss, 32)
        losses.append(value)
    np.testing.assert_allclose(history, losses, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(eqx.filter(fitted, eqx.is_array)), jax.tree.leaves(eqx.filter(model, eqx.is_array))):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_one_trace_serves_seeds_planes_and_predictions():
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


def test_training_stops_at_a_non_finite_loss_and_names_the_step(data):
    def loss(model, key, x):  # a plain function serves as a loss
        return jnp.mean(jax.vmap(model, (0, None))(x, jnp.asarray(0.5))) * jnp.inf

    with pytest.raises(jitlib.Diverged, match="at step 0; expected a finite") as caught:
        fit(KEYS[0], MLP(KEYS[1], 8, 8, 2), data, loss, 10, 4)
    assert caught.value.step == 0


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


def test_zero_steps_return_the_model(data):
    model = MLP(KEYS[1], 8, 8, 2)
    same, losses = fit(KEYS[0], model, data, FlowLoss(X), 0, 4)
    assert same is model and losses.shape == (0,)


@pytest.mark.parametrize("dim", [2, 3, 512])
def test_basis_is_orthonormal_and_lifting_loses_nothing(dim):
    data = Embedded(swiss_roll(KEYS[0], 50), orthonormal(KEYS[1], dim))
    np.testing.assert_allclose(data.basis.T @ data.basis, np.eye(2), atol=2e-6)
    np.testing.assert_allclose(data.project(data[:]), data.points, atol=1e-5)
    assert rms(data.off_plane(data[:])) < 1e-5


def test_metrics_on_known_clouds():
    a = swiss_roll(KEYS[0], 300)
    shift = jnp.array([0.3, -0.4])
    assert sliced_wasserstein(a, a) == 0 and wasserstein(a, a) < 1e-3
    assert np.isclose(sliced_wasserstein(a, a + shift), 0.5 / 2**0.5, atol=1e-5)
    assert np.isclose(wasserstein(a, a[::-1] + shift), 0.5, atol=1e-5)
    assert np.isclose(rms(jnp.array([[3.0, 4.0], [0.0, 0.0]])), 12.5**0.5)


def test_sweep_pairs_seeds_across_predictions():
    small = {"num_steps": 3, "num_points": 50, "solver_steps": 2, "width": 8, "depth": 2, "batch_size": 4}
    settings = [jitlib.Setting(4, p, **small) for p in TARGETS]
    runs = jitlib.sweep(settings, seeds=(0, 1))
    assert [(r.setting.prediction, r.seed) for r in runs] == [(p, s) for p in TARGETS for s in (0, 1)]
    (alone,) = jitlib.sweep(settings[2:], seeds=(1,))
    np.testing.assert_allclose(alone.losses, runs[5].losses, rtol=1e-5)


BAD = {
    "t of the wrong shape": (lambda: interpolate(jnp.ones((4, 3)), jnp.ones((4, 3)), jnp.ones((4, 1))), r"t has shape \(4, 1\)"),
    "x and eps differ": (lambda: interpolate(jnp.ones(3), jnp.ones(2), 0.5), r"\(3,\) and eps has shape \(2,\)"),
    "unknown target": (lambda: jitlib.Setting(2, "y").flow_loss(), "unknown target 'y'; expected one of x, eps, v"),
    "wrong dimension": (lambda: MLP(KEYS[0], 3)(jnp.ones(5), 0.5), r"\(5,\); this model expects \(3,\)"),
    "D < d": (lambda: orthonormal(KEYS[0], 1), "d=2 orthonormal directions in D=1"),
    "no steps": (lambda: time_grid(0), "num_steps is 0; expected at least 1"),
    "backwards grid": (lambda: time_grid(3, 0.9, 0.1), "start is 0.9 and stop is 0.1"),
    "no samples": (lambda: sample(KEYS[0], lambda z, t: z, V, 0, 2), "num_samples is 0"),
    "integer key": (lambda: fit(0, MLP(KEYS[0], 2), jnp.ones((3, 2)), FlowLoss(X), 1), r"key is 0; expected a typed key"),
    "empty data": (lambda: fit(KEYS[0], MLP(KEYS[0], 2), jnp.ones((0, 2)), FlowLoss(X), 1), "data set is empty"),
    "bad batch": (lambda: fit(KEYS[0], MLP(KEYS[0], 2), jnp.ones((3, 2)), FlowLoss(X), 1, 0), "batch_size 0"),
    "NaN in data": (lambda: fit(KEYS[0], MLP(KEYS[0], 2), jnp.ones((3, 2)).at[1, 0].set(jnp.nan), FlowLoss(X), 1), r"index \(1, 0\)"),
    "rates of the wrong length": (lambda: fit(KEYS[0], MLP(KEYS[0], 2), jnp.ones((3, 2)), FlowLoss(X), 5, learning_rate=jnp.ones(4)), r"shape \(4,\)"),
    "non-finite cloud": (lambda: rms(jnp.array([[jnp.inf, 0.0]])), "1 non-finite numbers of 2"),
    "cloud not in the plane": (lambda: sliced_wasserstein(jnp.ones((3, 3)), jnp.ones((3, 2))), r"\(3, 3\) and \(3, 2\)"),
    "bad std": (lambda: jitlib.LogitNormal(0.0, 0.0), "std is 0.0; expected a positive number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


LAYERS = ["path", "target", "times", "oracle", "loss", "model", "data", "metrics", "sample", "mesh", "train", "plot", "experiment", "table"]


def imports(source):
    """The modules of jitlib that a module's source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jitlib" or getattr(node, "level", 0):
            found |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jitlib.")}
    return found


def test_the_library_is_flat_and_acyclic_and_only_experiment_knows_all():
    folder = Path(jitlib.__file__).parent
    assert sorted(p.stem for p in folder.glob("*.py")) == sorted([*LAYERS, "__init__"])
    assert not [p for p in folder.iterdir() if p.is_dir() and not p.name.endswith(("__pycache__", ".egg-info", "build"))]
    for i, name in enumerate(LAYERS):
        found = imports((folder / f"{name}.py").read_text(encoding="utf8"))
        assert found <= set(LAYERS[:i]), f"{name} imports {found - set(LAYERS[:i])}"
    assert imports("from jitlib.loss import FlowLoss\nfrom jitlib import path\nimport jitlib.train") == {"loss", "path", "train"}


def test_strays_are_the_samples_away_from_the_data():
    data, fresh = swiss_roll(KEYS[0], 3000), swiss_roll(KEYS[1], 3000)
    assert jitlib.stray(data, data, fresh) == 0 and abs(jitlib.stray(fresh, data, fresh) - 0.001) < 0.001
    mixed = jnp.concatenate([data[:900], jnp.full((100, 2), 5.0)])
    assert jitlib.stray(mixed, data, fresh) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="cloud has 1 non-finite"):
        jitlib.stray(jnp.array([[0.0, jnp.nan]]), data, fresh)


def test_recipes_name_a_setting_for_every_prediction():
    for name in TARGETS:
        assert jitlib.recipe(8, name, num_steps=7).num_steps == 7
        notebook = jitlib.experiment.notebook_recipe(8, name)
        assert (notebook.num_steps, notebook.batch_size) == (18_000, 1024) and set(np.asarray(notebook.rates())) == {np.float32(1e-3)}
    (run,) = jitlib.sweep([jitlib.experiment.notebook_recipe(4, num_steps=300, batch_size=64, num_points=1000)], seeds=(0,))
    assert run.losses[-50:].mean() < 0.7 * run.losses[:50].mean()


@pytest.mark.parametrize("values, text", [
    ([113.0, 114.0], "≈ 114 ± 11"), ([0.5, 0.5], "≈ 0.500 ± 0.050"), ([0.0, 0.0], "≈ 0.000 ± 0.001"), ([9.0, 11.0], "≈ 10.0 ± 2.8"),
])
def test_spread_prints_two_digits_of_the_band(values, text):
    assert jitlib.plot.spread(values) == text
