"""Networks.  A model maps one example: (z, t) -> y with z of shape (D,) and t a scalar (chapter 5)."""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check


class MLP(eqx.Module):
    """A multilayer perceptron on the D + 1 numbers (z, t): `depth` affine layers, the activation between them.

    `layers` are pairs of a weight W of shape (out, in) and a bias b of shape (out,), with y -> y W^T + b; `width` units between
    layers.  All start uniform within 1/sqrt(in), as in PyTorch and Equinox.  Raises ValueError on sizes that
    are not integers, dim, width >= 1 and depth >= 2, and where z is not of shape (D,).
    Source: arXiv 2511.13720, section 3.3 (five layers, 256 hidden units, ReLU).  Chapter 5.
    """

    layers: tuple[tuple[Float[Array, "..."], Float[Array, "..."]], ...]
    activation: Callable = eqx.field(static=True)

    def __init__(self, key, dim: int, width: int = 256, depth: int = 5, activation: Callable = jax.nn.relu):
        check.count(dim=dim, width=width)
        check.count(2, depth=depth)
        key = check.key(key)
        sizes = [dim + 1, *[width] * (depth - 1), dim]
        shapes = [(out, into + 1) for into, out in zip(sizes, sizes[1:])]  # the bias is the last column
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        draws = jax.random.uniform(key, (ends[-1],), minval=-1.0, maxval=1.0)  # one draw: ten would compile ten times as long
        blocks = [draw.reshape(shape) / np.sqrt(shape[1] - 1) for draw, shape in zip(jnp.split(draws, ends[:-1]), shapes)]
        self.layers = tuple((block[:, :-1], block[:, -1]) for block in blocks)
        self.activation = activation

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, " D"]:
        *hidden, (last, bias) = self.layers
        if z.shape != bias.shape:
            raise ValueError(f"the data has shape {z.shape}; this model expects {bias.shape}")
        y = jnp.append(z, t)
        for weight, offset in hidden:
            y = self.activation(y @ weight.T + offset)  # not W y: under vmap this way needs no transpose (chapter 5)
        return y @ last.T + bias


def _one(t):
    return 1.0


class Skip(eqx.Module):
    """A network with a way around it: (z, t) -> skip(t) z + out(t) net(z, t), for scalar functions skip and out of time.
    What else it is given, such as a label, goes to the net.

    The functions may be modules with weights, which are then trained.  As an x-prediction this is EDM's pre-conditioning, with
    c_skip and c_out (arXiv 2206.00364, eq. 7); as a v-prediction with a learned skip, the intervention of chapter 10.
    """

    net: Callable
    skip: Callable
    out: Callable = _one

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""], *given) -> Float[Array, " D"]:
        return self.skip(t) * z + self.out(t) * self.net(z, t, *given)


class Guided(eqx.Module):
    """A model (z, t) -> y for sampling one class, made of a model (z, t, label) -> y by classifier-free guidance:

        y = y_none + w (y_label - y_none),   w = `scale` for low <= t <= high, else 1

    Each call calls the model twice, with the label and with zeros, "no label".  Converting predictions to velocities is affine, so
    guiding y guides v.  Raises ValueError on a scale that is not finite and on times outside [0, 1].
    Source: arXiv 2207.12598, 2404.07724.  Chapter 12.
    """

    model: Callable
    label: Float[Array, " C"]
    scale: float | Float[Array, ""] = 1.0
    low: float | Float[Array, ""] = 0.1
    high: float | Float[Array, ""] = 1.0

    def __check_init__(self):
        check.within(-float("inf"), float("inf"), scale=self.scale)
        check.within(0, 1, low=self.low, high=self.high)

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, " D"]:
        told, untold = (self.model(z, t, label) for label in (self.label, 0 * self.label))
        return untold + jnp.where((t >= self.low) & (t <= self.high), self.scale, 1.0) * (told - untold)
