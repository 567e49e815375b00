"""Which times a loss listens to, and the times at which a sampler stops (chapters 3 and 6)."""

import math

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check


def uniform(key, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
    """Times drawn uniformly from [0, 1)."""
    return jax.random.uniform(key, shape)


def stratified(key, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
    """Uniform times, one in each of n = prod(shape) equal intervals: a batch covers [0, 1) evenly (chapter 5)."""
    n = math.prod(shape)
    cell = jnp.arange(n, dtype=float).reshape(shape)
    t = (cell + jax.random.uniform(key, shape)) / n
    return jnp.minimum(t, 1 - jnp.finfo(t.dtype).epsneg)  # the last cell may be rounded up to one


class LogitNormal(eqx.Module):
    """Times with logit(t) ~ N(mean, std^2); close to uniform where mean = 0 and std = 1.7.

    The two numbers are data: a compiled function serves every member of the family.
    Raises ValueError where std is not positive.  Source: arXiv 2511.13720, section 4 (mean -0.8, std 0.8).  Chapter 3.
    """

    mean: float | Float[Array, "..."] = -0.8
    std: float | Float[Array, "..."] = 0.8

    def __check_init__(self):
        check.within(-float("inf"), float("inf"), mean=self.mean)
        check.within(-float("inf"), float("inf"), std=self.std)
        if check.known(self.std) and not np.all(self.std > 0):
            raise ValueError(f"std is {self.std}; expected a positive number")

    def __call__(self, key, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        return jax.nn.sigmoid(self.mean + self.std * jax.random.normal(key, shape))


class ClippedUniform(eqx.Module):
    """Uniform times clipped to [low, high]: it puts an atom on either end.  Kept to reproduce the notebook this book began as."""

    low: float | Float[Array, "..."]
    high: float | Float[Array, "..."]

    def __check_init__(self):
        check.within(0, 1, low=self.low, high=self.high)
        if check.known(self.low) and check.known(self.high) and not np.all(self.low <= self.high):
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low <= high")

    def __call__(self, key, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        return jnp.clip(jax.random.uniform(key, shape), self.low, self.high)


def time_grid(num_steps: int, start: float = 0.0, stop: float = 1.0) -> Float[Array, " times"]:
    """The num_steps + 1 equally spaced times from start to stop, both included.

    Raises ValueError unless num_steps is an integer >= 1 and 0 <= start < stop <= 1.  Chapter 6.
    """
    check.count(num_steps=num_steps)
    if not 0 <= start < stop <= 1:
        raise ValueError(f"start is {start} and stop is {stop}; expected 0 <= start < stop <= 1")
    return jnp.linspace(start, stop, num_steps + 1)
