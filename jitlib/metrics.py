"""How far a cloud of samples is from the data (chapter 1)."""

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from jitlib import check


def _finite(**clouds) -> None:
    for name, cloud in clouds.items():
        if not np.size(cloud):
            raise ValueError(f"{name} is empty, of shape {np.shape(cloud)}; expected at least one point")
        bad = int(np.size(cloud) - np.isfinite(cloud).sum())
        if bad:
            raise ValueError(f"{name} has {bad} non-finite numbers of {np.size(cloud)}; expected none")


@jax.jit
def _sliced(a, b, angles, levels):
    def slice_(angle):
        axis = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return jnp.mean((jnp.quantile(a @ axis, levels) - jnp.quantile(b @ axis, levels)) ** 2)

    return jnp.sqrt(jnp.mean(jax.lax.map(slice_, angles)))


def sliced_wasserstein(
    a: Float[Array, "n 2"], b: Float[Array, "m 2"], num_angles: int = 100, num_quantiles: int = 2000
) -> float:
    """The sliced Wasserstein-2 distance of two clouds in the plane, in the units of the data:

        SW^2 = mean over directions of the mean square difference of the two clouds' quantiles along it

    Directions are equally spaced over a half turn, so nothing is drawn.  Raises ValueError on a cloud that is not in the
    plane or not finite.  Source: Bonneel et al. 2015, doi 10.1007/s10851-014-0506-3.  Chapter 1.
    """
    if not a.ndim == b.ndim == a.shape[-1] == b.shape[-1] == 2:
        raise ValueError(f"the clouds have shapes {a.shape} and {b.shape}; expected (n, 2) and (m, 2)")
    _finite(a=a, b=b)
    check.count(num_angles=num_angles, num_quantiles=num_quantiles)
    angles = jnp.arange(num_angles) * (jnp.pi / num_angles)
    levels = (jnp.arange(num_quantiles) + 0.5) / num_quantiles
    return float(_sliced(a, b, angles, levels))


def wasserstein(a: Float[Array, "n D"], b: Float[Array, "n D"]) -> float:
    """The exact Wasserstein-2 distance of two clouds of n points: the root of the least mean square distance over all
    one-to-one matchings, found by SciPy's assignment solver in O(n^3) time.

    Raises ValueError where the clouds differ in shape or are not finite.  Chapter 1.
    """
    if a.shape != b.shape:
        raise ValueError(f"the clouds have shapes {a.shape} and {b.shape}; expected the same shape (n, D)")
    _finite(a=a, b=b)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and the squares sum to the same over every matching
    rows, columns = linear_sum_assignment(a @ b.T, maximize=True)
    return float(np.sqrt(((a[rows] - b[columns]) ** 2).sum(1).mean()))


def rms(x: Float[Array, "n D"]) -> float:
    """The root-mean-square length of the rows of x: of `Embedded.off_plane(x)`, the root of the off-plane energy."""
    _finite(x=x)
    return float(np.sqrt(np.mean(np.sum(np.square(x), -1))))


def effective_rank(variances: Float[Array, " k"]) -> float:
    """(sum c)^2 / sum c^2 of variances c: k where k of them are equal and the others zero.  Chapter 1.

    Raises ValueError on a negative variance, and where all are zero.
    """
    variances = np.asarray(variances, np.float64)
    check.within(0, np.inf, variances=variances)
    if not variances.any():
        raise ValueError(f"all {variances.size} variances are zero; expected at least one above zero")
    return float(variances.sum() ** 2 / (variances**2).sum())


def frechet(a: Float[Array, "n k"], b: Float[Array, "m k"]) -> float:
    """The squared Frechet distance of two clouds of features, each taken for a normal distribution, as in FID:

        |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)),   A and B their covariances

    Raises ValueError on clouds of different dimension, with fewer than two points, or not finite.
    Source: arXiv 1706.08500.  Chapter 12.
    """
    _finite(a=a, b=b)
    if np.ndim(a) != 2 or np.ndim(b) != 2 or np.shape(a)[1] != np.shape(b)[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"the clouds have shapes {np.shape(a)} and {np.shape(b)}; expected (n, k) and (m, k) with n, m >= 2")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    root = lambda x: np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")  # root^T root is the covariance
    A, B = root(a), root(b)  # tr (A^T A B^T B)^(1/2) is the nuclear norm of A B^T
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.sum(A**2) + np.sum(B**2) - 2 * np.linalg.norm(A @ B.T, "nuc"))


def stray(cloud: Float[Array, "n d"], data: Float[Array, "m d"], fresh: Float[Array, "k d"], level: float = 0.999) -> float:
    """The share of a cloud that lies where no data are: farther from the nearest point of `data` than the `level` quantile
    of that distance over `fresh`, an independent draw of the data.

    An honest sample has a share of 1 - level.  It sees points between the arms of a spiral, which hardly move a Wasserstein
    distance.  Raises ValueError where a cloud is not finite.  Chapter 5.
    """
    _finite(cloud=cloud, data=data, fresh=fresh)
    check.within(0, 1, level=level)
    if not np.shape(cloud)[1:] == np.shape(data)[1:] == np.shape(fresh)[1:]:
        shapes = ", ".join(str(np.shape(points)) for points in (cloud, data, fresh))
        raise ValueError(f"cloud, data and fresh have the shapes {shapes}; expected points of one dimension")
    nearest = KDTree(np.asarray(data)).query
    return float(np.mean(nearest(np.asarray(cloud))[0] > np.quantile(nearest(np.asarray(fresh))[0], level)))
