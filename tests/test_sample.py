"""Solvers against exact flows, another library's solver and a test of distribution; and controls that must fail."""
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import double
from scipy import stats

from jitlib import EPS, MLP, TARGETS, V, X, Gaussian, convert, euler_step, heun_step, integrate, orthonormal, rms, sample, time_grid, velocity
from jitlib.sample import start_of

KEYS = jax.random.split(jax.random.key(5), 4)
STEPS = {"Euler": euler_step, "Heun": heun_step}


def gaussian():
    return Gaussian(jnp.array([0.5, -0.3]), jnp.array([1.5, 0.3]), orthonormal(KEYS[0], 2, 2))


def solve(g, z, grid, step, target=V):
    return jax.jit(jax.vmap(lambda z: integrate(velocity(g.predict(target), target), z, grid, step)))(z)


@pytest.mark.parametrize("name, order, last", [("Euler", 1, 2e-2), ("Heun", 2, 2e-5)])
def test_order_and_error_of_the_solver_on_the_exact_flow(name, order, last):
    """S1, S2: N = 16 ... 512 on [0.02, 0.98]."""
    with double():
        g, z, counts = gaussian(), jax.random.normal(KEYS[1], (100, 2)), 2 ** np.arange(4, 10)
        exact = jax.vmap(lambda z: g.flow(z, 0.02, 0.98))(z)
        errors = [float(jnp.abs(solve(g, z, time_grid(int(n), 0.02, 0.98), STEPS[name]) - exact).max()) for n in counts]
        assert abs(-np.polyfit(np.log(counts), np.log(errors), 1)[0] - order) < 0.15
        assert abs(np.log2(errors[-2] / errors[-1]) - order) < 0.05 and errors[-1] < last


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("name", STEPS)
def test_point_mass_is_hit_exactly(name, n):
    """S3: every path to a single point is straight."""
    with double():
        c = jnp.array([0.3, -1.2, 2.0])
        z = sample(KEYS[0], lambda z, t: c, X, 10, 3, num_steps=n, step=STEPS[name])
        np.testing.assert_allclose(z, jnp.broadcast_to(c, z.shape), atol=1e-12)


@pytest.mark.parametrize("name", STEPS)
def test_noise_off_the_plane_shrinks_like_one_minus_t(name):
    """S4: by (1 - t) / (1 - s), exactly; so it does under the perfect prediction of Gaussian data on a line."""
    with double():
        thin = Gaussian(jnp.zeros(2), jnp.array([1.0, 0.0]), gaussian().axes)
        z = solve(thin, jnp.ones((1, 2)), time_grid(7, 0.2, 0.9), STEPS[name])
        np.testing.assert_allclose((z @ thin.axes)[0, 1], 0.1 / 0.8 * (jnp.ones(2) @ thin.axes)[1], rtol=1e-12)
        z = integrate(velocity(lambda z, t: jnp.zeros_like(z), X), jnp.ones(4), time_grid(7, 0.2, 0.9), STEPS[name])
        np.testing.assert_allclose(z, 0.1 / 0.8, rtol=1e-12)


def test_three_predictions_of_one_model_take_one_way():
    """S5."""
    g, z = gaussian(), jax.random.normal(KEYS[1], (50, 2))
    ends = [solve(g, z, time_grid(20, 0.05, 0.95), heun_step, target) for target in TARGETS.values()]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], atol=1e-5)


def test_a_turned_problem_has_the_turned_solution_and_a_batch_is_its_members():
    """S6: a rotation, a reflection, an order of the batch, one at a time."""
    g, z = gaussian(), jax.random.normal(KEYS[1], (20, 2))
    end = solve(g, z, time_grid(10), heun_step)
    angle = 0.7
    turn = jnp.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for R in (turn, turn @ jnp.diag(jnp.array([1.0, -1.0]))):
        turned = Gaussian(R @ g.mean, g.variances, R @ g.axes)
        np.testing.assert_allclose(solve(turned, z @ R.T, time_grid(10), heun_step), end @ R.T, atol=1e-5)
    np.testing.assert_allclose(solve(g, z[::-1], time_grid(10), heun_step), end[::-1], atol=1e-6)
    alone = [integrate(velocity(g.predict(V), V), one, time_grid(10)) for one in z[:3]]
    np.testing.assert_allclose(alone, end[:3], atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("p", TARGETS)
def test_both_ends_are_finite_for_every_prediction(p, name):
    """S7: eps has no velocity at t = 0 and x none at t = 1; sampling starts late and ends with Euler's step."""
    model = MLP(KEYS[0], 4, 8, 2)
    z = sample(KEYS[1], model, TARGETS[p], 20, 4, num_steps=3, step=STEPS[name])
    assert np.isfinite(z).all()
    assert start_of(TARGETS[p]) == (0.05 if p == "eps" else 0.0)


def test_the_last_step_of_x_prediction_lands_on_the_prediction():
    model = MLP(KEYS[0], 4, 8, 2)
    end, states = sample(KEYS[1], model, X, 5, 4, num_steps=4, save_every=1)
    np.testing.assert_allclose(end, jax.vmap(model, (0, None))(states[3], jnp.asarray(0.75)), atol=1e-5)


def test_trajectory_holds_every_kth_state_and_begins_with_the_noise_of_its_time():
    end, states = sample(KEYS[0], lambda z, t: z, EPS, 5, 2, num_steps=6, save_every=2)
    assert states.shape == (4, 5, 2) and (states[-1] == end).all()
    np.testing.assert_allclose(states[0], 0.95 * jax.random.normal(KEYS[0], (5, 2)), rtol=1e-5)
    still, states = sample(KEYS[0], lambda z, t: z * 0, V, 5, 2, num_steps=5, save_every=3)
    assert states.shape == (2, 5, 2) and (states == still[None]).all() and (still == jax.random.normal(KEYS[0], (5, 2))).all()


def test_steps_by_hand():
    slope = lambda z, t: 2 * z + t
    z, t, s = jnp.array([1.0, -2.0]), 0.1, 0.4
    euler = z + (s - t) * (2 * z + t)
    assert jnp.allclose(euler_step(slope, z, t, s), euler)
    assert jnp.allclose(heun_step(slope, z, t, s), z + (s - t) * ((2 * z + t) + (2 * euler + s)) / 2)


@pytest.mark.parametrize("p", TARGETS)
def test_diffrax_finds_the_same(p):
    """An independent solver: its Heun with the same steps, and its adaptive method of fifth order."""
    with double():
        model, target = MLP(KEYS[2], 3, 16, 3, jax.nn.tanh), TARGETS[p]
        field, z = velocity(model, target), jax.random.normal(KEYS[3], (3,))
        start = start_of(target)
        ours = integrate(field, z, time_grid(40, start, 0.9), heun_step)
        term = diffrax.ODETerm(lambda t, y, args: convert(model(y, t), y, jnp.asarray(t), target, V))
        theirs = diffrax.diffeqsolve(term, diffrax.Heun(), start, 0.9, (0.9 - start) / 40, z).ys[-1]
        np.testing.assert_allclose(ours, theirs, atol=1e-10)
        control = diffrax.PIDController(rtol=1e-9, atol=1e-9)
        exact = diffrax.diffeqsolve(term, diffrax.Tsit5(), start, 0.9, 0.01, z, stepsize_controller=control).ys[-1]
        assert rms((integrate(field, z, time_grid(2560, start, 0.9), heun_step) - exact)[None]) < 1e-5


def furthest(z, g, projections=20):
    """The greatest Kolmogorov-Smirnov distance of a cloud's projections from those of the Gaussian."""
    distances = []
    for angle in np.random.default_rng(0).uniform(0, np.pi, projections):
        axis = np.array([np.cos(angle), np.sin(angle)])
        spread = np.sqrt(float(jnp.sum(g.variances * (g.axes.T @ axis) ** 2)))
        distances.append(stats.kstest((np.asarray(z) @ axis - float(g.mean @ axis)) / spread, "norm").statistic)
    return max(distances)


def test_samples_of_the_exact_model_have_its_law_and_wrong_samplers_do_not():
    """S9, S10: the bound holds with probability 1 - 1e-6 for true samples."""
    g, n = gaussian(), 10_000
    bound = np.sqrt(np.log(2 * 20 / 1e-6) / (2 * n))
    run = lambda model, step, count: sample(KEYS[1], model, V, n, 2, num_steps=count, step=step)
    assert furthest(run(g.predict(V), heun_step, 50), g) < bound
    assert furthest(run(g.predict(V), euler_step, 3), g) > bound
    assert furthest(run(lambda z, t: -g.predict(V)(z, t), heun_step, 50), g) > bound


def test_the_last_step_is_the_others_but_where_it_cannot_be():
    """Euler's for x without a floor; Heun's for v, and for x with a floor.  By default there are 50 steps, as in the paper."""
    model = MLP(KEYS[0], 4, 8, 2)
    run = lambda target, **rest: np.asarray(sample(KEYS[1], model, target, 3, 4, **{"num_steps": 3} | rest))
    assert (run(V) == run(V, last_step=heun_step)).all() and not (run(V) == run(V, last_step=euler_step)).all()
    assert (run(X, floor=0.1) == run(X, floor=0.1, last_step=heun_step)).all()
    assert (run(X) == run(X, last_step=euler_step)).all() and not (run(X) == run(X, floor=0.1)).all()
    assert (sample(KEYS[1], model, V, 3, 4) == run(V, num_steps=50)).all() and not (run(V, num_steps=50) == run(V, num_steps=49)).all()
    with pytest.raises(TypeError):
        sample(KEYS[1], model, V, 3, 4, 50)  # what is not said by name cannot be said
