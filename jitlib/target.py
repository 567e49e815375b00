"""What a network may predict, as rows acting on (x, eps), and the one identity that converts between them (chapter 2)."""

from typing import NamedTuple

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check, path


class Target(NamedTuple):
    """A prediction target y = a x + b eps.  The two numbers are data: a compiled function serves every target."""

    a: float | Float[Array, "..."]
    b: float | Float[Array, "..."]

    def of(self, x: Float[Array, "..."], eps: Float[Array, "..."]) -> Float[Array, "..."]:
        """The target's value a x + b eps for a known pair."""
        return self.a * x + self.b * eps


X = Target(1.0, 0.0)  # the clean data
EPS = Target(0.0, 1.0)  # the noise
V = Target(1.0, -1.0)  # the velocity dz/dt = x - eps
TARGETS = {"x": X, "eps": EPS, "v": V}


def named(name: str) -> Target:
    """TARGETS[name], or a ValueError that lists the names."""
    if name not in TARGETS:
        raise ValueError(f"unknown target {name!r}; expected one of {', '.join(TARGETS)}")
    return TARGETS[name]


def checked(target: Target, what: str = "the target") -> Target:
    """The target itself, or a ValueError where it is not one, such as a mere name."""
    if not isinstance(target, Target):
        raise ValueError(f"{what} is {target!r}; expected a Target, such as jitlib.X")
    return target


def cross(p, q):
    """The determinant [p, q] = p1 q2 - p2 q1 of two rows."""
    return p[0] * q[1] - p[1] * q[0]


def determinant(target: Target, t: Float[Array, "..."] | float, floor=0.0) -> Float[Array, "..."]:
    """Delta(t) = t b - (1 - t) a, kept at least `floor` away from zero.

    For x it is -(1 - t), for eps t, for v -1.  The sign is kept; a zero takes the sign at t = 1/2.
    This is the only floor in the library.  Raises ValueError on a negative floor.  Derived in chapter 2, used in chapters 3 and 6.
    """
    check.within(0, float("inf"), floor=floor)
    delta = cross(path.row(jnp.asarray(t, float)), target)
    sign = jnp.sign(jnp.where(delta == 0, target.b - target.a, delta))
    return sign * jnp.maximum(jnp.abs(delta), floor)


def convert(
    y: Float[Array, "*batch D"],
    z: Float[Array, "*batch D"],
    t: Float[Array, "..."] | float,
    source: Target,
    target: Target,
    floor=0.0,
) -> Float[Array, "*batch D"]:
    """Turn a prediction y of `source` at (z, t) into the prediction of `target` that is consistent with it:

        y' = (Delta' y + [target, source] z) / Delta

    Shapes: y and z (..., D); t is () or the leading axes.  Where the source's determinant vanishes (x at t = 1, eps at t = 0)
    the floor decides.  Raises ValueError on a wrong shape, on integers, on a time outside [0, 1], and where that determinant is zero and the
    floor too; inside a compiled function, where times cannot be looked at, the result is then infinite or NaN.
    Source: arXiv 2511.13720, table 1 and eq. 5.  Derived in chapter 2.
    """
    if y.shape != z.shape:
        raise ValueError(f"the prediction has shape {y.shape} and z has shape {z.shape}; expected the same shape")
    t = path.per_example(t, z)
    denominator = determinant(checked(source), t, floor)
    if check.known(denominator) and not np.all(denominator):
        raise ValueError(f"{source} has determinant 0 at t = {np.asarray(t)[np.asarray(denominator) == 0].flat[0]:g}; expected "
                         "another time, or a floor above 0")  # fmt: skip
    return (determinant(checked(target), t, floor) * y + cross(target, source) * z) / denominator


def recover(
    y: Float[Array, "*batch D"],
    z: Float[Array, "*batch D"],
    t: Float[Array, "..."] | float,
    source: Target,
    floor=0.0,
) -> tuple[Float[Array, "*batch D"], Float[Array, "*batch D"]]:
    """The pair (x, eps) that a prediction y of `source` at (z, t) stands for.

    With floor = 0 it solves z = t x + (1 - t) eps and y = a x + b eps.  Shapes and errors as in `convert`.  Derived in chapter 2.
    """
    return convert(y, z, t, source, X, floor), convert(y, z, t, source, EPS, floor)
