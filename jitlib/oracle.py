"""Closed forms: what a perfect network would say (chapter 4)."""

import equinox as eqx
import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check
from jitlib.path import row
from jitlib.target import X, Target, convert, determinant


class IdealPredictor(eqx.Module):
    """The best possible prediction of `target` when the data are a finite set of equally likely points u_i:

        E[x | z] = sum_i w_i u_i,    w = softmax_i( -|z - t u_i|^2 / (2 (1 - t)^2) )

    converted to `target`.  With a `basis` P of shape (D, d) the points u_i live on the plane x = P u; only P^T z
    enters the weights, so the cost does not depend on D.  A model like any other: (z, t) -> y.
    Shapes: points (n, d), basis (D, d) or None.  Not finite at t = 1, where the line has no noise left.  Derived in chapter 4.
    """

    points: Float[Array, "n d"]
    basis: Float[Array, "D d"] | None = None
    target: Target = X

    def __check_init__(self):
        if self.points.ndim < 2 or not self.points.size or self.basis is not None and self.basis.shape[-1] != self.points.shape[-1]:
            basis = None if self.basis is None else self.basis.shape
            raise ValueError(f"points have shape {self.points.shape} and the basis {basis}; expected (n, d) with n >= 1, and (D, d) or None")

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, " D"]:
        alpha, sigma = row(t)
        u = z if self.basis is None else z @ self.basis
        # |z - t u_i|^2 up to the |z|^2 that all points share: matrix products alone, when z comes in batches
        closeness = alpha * (self.points @ u) - alpha**2 / 2 * jnp.sum(self.points**2, -1)
        x = jax.nn.softmax(closeness / sigma**2) @ self.points
        return convert(x if self.basis is None else self.basis @ x, z, t, X, self.target)


class Gaussian(eqx.Module):
    """Data x ~ N(mean, S) with S = U diag(variances) U^T; everything is known.

    Shapes: mean (D,), variances (D,), axes U (D, D) orthogonal.  With c_t = t^2 s + (1 - t)^2 for each variance s:
    predictions, minimum losses and the flow map below; along an axis without variance they are not finite at t = 1.
    Raises ValueError where the shapes do not fit or a variance is negative.  Derived in chapter 4; the flow map is used in chapter 6.
    """

    mean: Float[Array, " D"]
    variances: Float[Array, " D"]
    axes: Float[Array, "D D"]

    def __check_init__(self):
        D = self.mean.shape[-1:]
        if self.variances.shape[-1:] != D or self.axes.shape[-2:] != 2 * D:
            raise ValueError(f"mean, variances and axes have the shapes {self.mean.shape}, {self.variances.shape} and {self.axes.shape}; "
                             "expected (D,), (D,) and (D, D)")  # fmt: skip
        check.within(0, float("inf"), variances=self.variances)

    def spread(self, t) -> Float[Array, " D"]:
        """c_t = t^2 s + (1 - t)^2, the variances of z at time t along the axes."""
        alpha, sigma = row(t)
        return alpha**2 * self.variances + sigma**2

    def predict(self, target: Target):
        """The model (z, t) -> E[y | z] = a m + U [(a t s + b (1 - t)) / c_t] U^T (z - t m)."""

        def model(z: Float[Array, " D"], t) -> Float[Array, " D"]:
            alpha, sigma = row(t)
            gain = (target.a * alpha * self.variances + target.b * sigma) / self.spread(t)
            return target.a * self.mean + self.axes @ (gain * (self.axes.T @ (z - alpha * self.mean)))

        return model

    def minimum_loss(self, target: Target, t) -> Float[Array, ""]:
        """The least mean square error a coordinate at time t in the space of `target`: Delta(t)^2 mean(s / c_t)."""
        return determinant(target, t) ** 2 * jnp.mean(self.variances / self.spread(t))

    def flow(self, z: Float[Array, " D"], s, t) -> Float[Array, " D"]:
        """The exact solution at time t of dz/dt = E[v | z] through z at time s: t m + U sqrt(c_t / c_s) U^T (z - s m)."""
        scale = jnp.sqrt(self.spread(t) / self.spread(s))
        return t * self.mean + self.axes @ (scale * (self.axes.T @ (z - s * self.mean)))
