"""From a prediction to a velocity, and from a velocity to samples (chapter 6)."""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check
from jitlib.path import row
from jitlib.target import V, Target, checked, convert, determinant
from jitlib.times import time_grid


def velocity(model, prediction: Target, floor=0.0) -> Callable:
    """The field v(z, t) of a model that predicts `prediction`: its output converted to a velocity, for one example."""
    return lambda z, t: convert(model(z, t), z, t, prediction, V, floor)


def euler_step(velocity: Callable, z: Float[Array, "..."], t, s) -> Float[Array, "..."]:
    """z + (s - t) v(z, t): first order, one evaluation, never looks at the end point s."""
    return z + (s - t) * velocity(z, t)


def heun_step(velocity: Callable, z: Float[Array, "..."], t, s) -> Float[Array, "..."]:
    """z + (s - t) (v(z, t) + v(z_euler, s)) / 2: second order, two evaluations, looks at both ends.

    Source: arXiv 2206.00364, algorithm 1; arXiv 2511.13720 samples with 50 such steps.
    """
    slope = velocity(z, t)
    guess = z + (s - t) * slope
    return z + (s - t) / 2 * (slope + velocity(guess, s))


def integrate(
    velocity: Callable,
    z: Float[Array, "..."],
    grid: Float[Array, " times"],
    step: Callable = heun_step,
    last_step: Callable | None = None,
    save_every: int | None = None,
):
    """Solve dz/dt = v(z, t) from grid[0] to grid[-1], one step between neighbouring times.

    `last_step` replaces `step` on the last interval.  Returns the end point; with `save_every=k` also the states
    at grid[0], grid[k], grid[2k], ... stacked on a new first axis.  Memory does not grow with the number of steps otherwise.
    Raises ValueError where the grid has fewer than two times or does not grow.  Chapter 6.
    """
    if grid.ndim != 1 or grid.shape[0] < 2:
        raise ValueError(f"the grid has shape {grid.shape}; expected (N + 1,) with at least one step")
    if check.known(grid) and not np.all(np.diff(np.asarray(grid)) > 0):
        raise ValueError(f"the grid is {np.asarray(grid)}; expected times that grow")
    if save_every is not None:
        check.count(save_every=save_every)

    def advance(z, interval):
        return step(velocity, z, *interval), None if save_every is None else z

    end, states = jax.lax.scan(advance, z, (grid[:-2], grid[1:-1]))
    final = (last_step or step)(velocity, end, grid[-2], grid[-1])
    if save_every is None:
        return final
    return final, jnp.concatenate([states, end[None], final[None]])[::save_every]


def start_of(prediction: Target, floor=0.05) -> float:
    """Where sampling can begin: t = 0, or `floor` for a prediction that knows no velocity there (eps)."""
    return 0.0 if determinant(prediction, 0.0) != 0 else floor


def sampling_grid(prediction: Target, num_steps: int, start: float | None = None, stop: float = 1.0, floor=0.0) -> Float[Array, " times"]:
    """The times of `sample`: num_steps equal steps from `start`, by default `start_of(prediction)`, to `stop`.

    Raises ValueError on an impossible grid, and where the prediction knows no velocity at its start and there is no floor.  Chapter 6.
    """
    check.within(0, float("inf"), floor=floor)
    start = start_of(prediction) if start is None else start
    grid = time_grid(num_steps, start, stop)
    if floor == 0 and determinant(prediction, start) == 0:
        raise ValueError(f"{prediction} knows no velocity at t = {start:g}; expected a later start, or a floor above 0")
    return grid


@eqx.filter_jit
def _solve(key, shape, model, grid, prediction, floor, step, last_step, save_every):
    z = row(grid[0])[1] * jax.random.normal(key, shape)
    solve = lambda z: integrate(velocity(model, prediction, floor), z, grid, step, last_step, save_every)
    return jax.vmap(solve, out_axes=0 if save_every is None else (0, 1))(z)


def sample(
    key,
    model,
    prediction: Target,
    num_samples: int,
    dim: int,
    *,
    num_steps: int = 50,
    step: Callable = heun_step,
    last_step: Callable | None = None,
    start: float | None = None,
    stop: float = 1.0,
    floor: float = 0.0,
    save_every: int | None = None,
):
    """Draw noise of shape (num_samples, D) and carry it to t = 1 in `num_steps` steps.

    A prediction whose determinant vanishes at an end gives 0/0 there, so the ends are part of the method:
      * sampling starts at `start`, by default `start_of(prediction)`, from z = (1 - start) eps;
      * where the velocity at `stop` is 0/0 (x at t = 1) the last step is Euler's, which lands on the predicted x,
        unless `last_step` says otherwise.
    Returns the end points, shape (num_samples, D); with `save_every` also the trajectory, shape (K, num_samples, D).
    Raises ValueError on num_samples < 1, on an impossible grid, and where key or prediction is not one.  Derived in chapter 6.
    """
    check.count(num_samples=num_samples, dim=dim)
    key, prediction = check.key(key), checked(prediction, "prediction")
    grid = sampling_grid(prediction, num_steps, start, stop, floor)
    if last_step is None:
        last_step = euler_step if floor == 0 and determinant(prediction, stop) == 0 else step
    prediction = jax.tree.map(jnp.asarray, prediction)  # data, not code: one compilation for every target
    return _solve(key, (num_samples, dim), model, grid, prediction, jnp.asarray(floor), step, last_step, save_every)
