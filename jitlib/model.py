"""Networks.  A model maps one example: (z, t) -> y with z of shape (D,) and t a scalar (chapter 5)."""

from collections.abc import Callable

import equinox as eqx
import jax
from jax import numpy as jnp
from jaxtyping import Array, Float


class MLP(eqx.Module):
    """A multilayer perceptron on the D + 1 numbers (z, t), with `depth` linear layers and `width` hidden units.

    Equinox's default initialisation, uniform within 1/sqrt(fan-in).  Raises ValueError where z is not of shape (D,).
    Source: arXiv 2511.13720, section 3.3 (five layers, 256 hidden units, ReLU).  Chapter 5.
    """

    net: eqx.nn.MLP
    dim: int = eqx.field(static=True)

    def __init__(self, key, dim: int, width: int = 256, depth: int = 5, activation: Callable = jax.nn.relu):
        if min(dim, width) < 1 or depth < 2:
            raise ValueError(f"dim is {dim}, width {width} and depth {depth}; expected dim, width >= 1 and depth >= 2")
        self.dim = dim
        self.net = eqx.nn.MLP(dim + 1, dim, width, depth - 1, activation, key=key)

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, " D"]:
        if z.shape != (self.dim,):
            raise ValueError(f"the data has shape {z.shape}; this model expects ({self.dim},)")
        return self.net(jnp.append(z, t))
