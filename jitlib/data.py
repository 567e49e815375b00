"""Data sets in the plane, and the plane's place in D dimensions (chapter 1)."""

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float
from sklearn import datasets

from jitlib import check


def _seed(key) -> int:
    """An integer for scikit-learn, drawn from a JAX key."""
    return int(jax.random.randint(check.key(key), (), 0, np.iinfo(np.int32).max))


def swiss_roll(key, num_points: int = 10_000, noise: float = 0.5) -> Float[Array, "n 2"]:
    """scikit-learn's Swiss roll without its depth, a tenth of its size: a spiral of about unit radius, shape (n, 2)."""
    check.count(num_points=num_points)
    check.within(0, float("inf"), noise=noise)
    roll, _ = datasets.make_swiss_roll(num_points, noise=noise, random_state=_seed(key))
    return jnp.asarray(roll[:, [0, 2]] / 10, jnp.float32)


def moons(key, num_points: int = 10_000, noise: float = 0.05) -> Float[Array, "n 2"]:
    """scikit-learn's two interleaved half circles, shape (n, 2)."""
    check.count(num_points=num_points)
    check.within(0, float("inf"), noise=noise)
    points, _ = datasets.make_moons(num_points, noise=noise, random_state=_seed(key))
    return jnp.asarray(points, jnp.float32)


def orthonormal(key, dim: int, d: int = 2) -> Float[Array, "D d"]:
    """A random basis P of shape (D, d) with P^T P = I, uniform over all such bases.

    The Q of a QR factorisation, its signs fixed by R's diagonal.  Raises ValueError unless D >= d >= 1.
    """
    check.count(dim=dim, d=d)
    if dim < d:
        raise ValueError(f"cannot place d={d} orthonormal directions in D={dim} dimensions; expected D >= d >= 1")
    q, r = jnp.linalg.qr(jax.random.normal(check.key(key), (dim, d)))
    return q * jnp.sign(jnp.diag(r))[None]


class Embedded(eqx.Module):
    """Points u of shape (n, d) on the plane x = P u in D dimensions; indexing gives rows of x.

    Points and basis are arrays, so one compilation serves every data set and every plane of the same shape.
    Raises ValueError where points (n, d) and basis (D, d) do not fit.  Chapter 1.
    """

    points: Float[Array, "n d"]
    basis: Float[Array, "D d"]

    def __check_init__(self):
        if self.points.ndim < 2 or self.points.shape[-1] != self.basis.shape[-1]:
            raise ValueError(f"points have shape {self.points.shape} and basis {self.basis.shape}; expected (n, d) and (D, d)")

    def __len__(self) -> int:
        return self.points.shape[0]

    def __getitem__(self, index) -> Float[Array, "... D"]:
        check.row(len(self), index)
        return self.lift(self.points[index])

    @property
    def dim(self) -> int:
        """The ambient dimension D."""
        return self.basis.shape[-2]

    def lift(self, u: Float[Array, "... d"]) -> Float[Array, "... D"]:
        """x = P u."""
        return u @ self.basis.T

    def project(self, x: Float[Array, "... D"]) -> Float[Array, "... d"]:
        """u = P^T x, the coordinates of x in the plane."""
        return x @ self.basis

    def off_plane(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """x - P P^T x, what of x does not lie in the plane."""
        return x - self.lift(self.project(x))


class Labelled(eqx.Module):
    """Rows x of shape (n, D) with labels of shape (n, C), such as one-hot classes; indexing gives the pair.  For `Conditional`.

    Raises ValueError where the two differ in length.  Chapter 12.
    """

    points: Float[Array, "n D"]
    labels: Float[Array, "n C"]

    def __check_init__(self):
        shapes = self.points.shape, self.labels.shape
        if min(self.points.ndim, self.labels.ndim) < 2 or shapes[0][:-1] != shapes[1][:-1]:
            raise ValueError(f"the points have shape {shapes[0]} and the labels {shapes[1]}; expected (n, D) and (n, C)")

    def __len__(self) -> int:
        return self.points.shape[0]

    def __getitem__(self, index):
        check.row(len(self), index)
        return self.points[index], self.labels[index]
