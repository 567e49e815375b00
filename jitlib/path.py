"""The path from noise to data: a straight line in time (chapter 2)."""

from jaxtyping import Array, Float
from jax import numpy as jnp

from jitlib import check


def row(t):
    """The path as a row (t, 1 - t) acting on the pair (x, eps)."""
    return t, 1 - t


def per_example(t: Float[Array, "..."] | float, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """View t, of shape () or x's leading axes, so that it multiplies x.

    Raises ValueError where the shapes do not allow it: (B, 1) beside (B, D) would otherwise broadcast silently; outside [0, 1];
    and where x is not of floating-point numbers, among which a time would be rounded to 0 or 1.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"the data have the type {x.dtype}; expected floating-point numbers")
    t = jnp.asarray(t, jnp.result_type(x))
    if t.shape != x.shape[: t.ndim]:
        raise ValueError(f"t has shape {t.shape}; expected () or the leading axes of the data's shape {x.shape}")
    check.within(0, 1, t=t)
    return t.reshape(t.shape + (1,) * (x.ndim - t.ndim))


def interpolate(
    x: Float[Array, "*batch D"], eps: Float[Array, "*batch D"], t: Float[Array, "..."] | float
) -> Float[Array, "*batch D"]:
    """The point z = t x + (1 - t) eps: noise at t = 0, data at t = 1.

    Shapes: x and eps (..., D); t is () or the leading axes of x.  Raises ValueError on any other shape, on
    integers and on a time outside [0, 1].
    Source: arXiv 2511.13720, eq. 1.  Derived in chapter 2.
    """
    if x.shape != eps.shape:
        raise ValueError(f"x has shape {x.shape} and eps has shape {eps.shape}; expected the same shape")
    a, b = row(per_example(t, x))
    return a * x + b * eps
