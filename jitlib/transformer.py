"""A small JiT: a Transformer on large patches of raw pixels (chapter 12).  Source: arXiv 2511.13720, section 4 and appendix A."""

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check
from jitlib.images import grid, patchify, unpatchify


def waves(positions: Float[Array, "..."], size: int, longest: float) -> Float[Array, "... size"]:
    """Sines and cosines of a position, at size / 2 frequencies from 1 down to 1/longest."""
    angles = jnp.multiply.outer(positions, longest ** -jnp.linspace(0.0, 1.0, size // 2))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def rms_norm(x: Float[Array, "... k"]) -> Float[Array, "... k"]:
    """x / sqrt(mean x^2 + 1e-6), the mean over the last axis."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def modulated(tokens: Float[Array, "N W"], shift: Float[Array, " W"], scale: Float[Array, " W"]) -> Float[Array, "N W"]:
    """norm(tokens) (1 + scale) + shift, the same for every token: adaLN (arXiv 2212.09748)."""
    return rms_norm(tokens) * (1 + scale)[None] + shift[None]


def _zero(linear: eqx.nn.Linear) -> eqx.nn.Linear:
    return jax.tree.map(jnp.zeros_like, linear)


class Block(eqx.Module):
    """Attention, then SwiGLU, each on normed tokens that the condition scales and shifts, each added through a gate (adaLN-Zero).

    The gates are zero at first, so a new block changes nothing.  Queries and keys are normed (qk-norm).
    Raises ValueError where the heads do not divide the width.  Source: arXiv 2212.09748, 2302.05442, 2002.05202.  Chapter 12.
    """

    qkv: eqx.nn.Linear
    out: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    modulation: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, key, width: int, heads: int):
        if width % heads:
            raise ValueError(f"width is {width} and heads {heads}; expected heads that divide the width")
        keys = jax.random.split(key, 5)
        hidden = 8 * width // 3  # SwiGLU has three matrices; this keeps the number of weights of a plain layer of 4 width
        linear = lambda key, into, out, bias=False: eqx.nn.Linear(into, out, use_bias=bias, key=key)
        self.qkv, self.out = linear(keys[0], width, 3 * width), linear(keys[1], width, width)
        self.up, self.down = linear(keys[2], width, 2 * hidden), linear(keys[3], hidden, width)
        self.modulation = _zero(linear(keys[4], width, 6 * width, True))
        self.heads = heads

    def attention(self, tokens: Float[Array, "N W"]) -> Float[Array, "N W"]:
        q, k, v = jnp.moveaxis(jax.vmap(self.qkv)(tokens).reshape(len(tokens), 3, self.heads, -1), 1, 0)
        mixed = jax.nn.dot_product_attention(rms_norm(q), rms_norm(k), v)
        return jax.vmap(self.out)(mixed.reshape(tokens.shape))

    def swiglu(self, tokens: Float[Array, "N W"]) -> Float[Array, "N W"]:
        gate, value = jnp.split(jax.vmap(self.up)(tokens), 2, -1)
        return jax.vmap(self.down)(jax.nn.silu(gate) * value)

    def __call__(self, tokens: Float[Array, "N W"], condition: Float[Array, " W"]) -> Float[Array, "N W"]:
        shift, scale, gate, shift_2, scale_2, gate_2 = jnp.split(self.modulation(condition), 6)
        tokens = tokens + gate[None] * self.attention(modulated(tokens, shift, scale))
        return tokens + gate_2[None] * self.swiglu(modulated(tokens, shift_2, scale_2))


class JiT(eqx.Module):
    """(z, t, label) -> y: an image z as a vector of D = H W C numbers, in and out, with a label of C numbers (zeros: none).

    Patches -> `bottleneck` numbers each -> tokens of `width`, plus fixed sine-cosine positions -> `depth` blocks -> norm -> a linear
    layer back to pixels, zero at first.  `classes` is C.  Raises ValueError on sizes that are not integers, at least 1, on a patch
    that does not divide the image, a width that 4 and the heads do not divide, and where z or the label has another shape.
    Source: arXiv 2511.13720, section 4.  Chapter 12.
    """

    embed: eqx.nn.Linear
    lift: eqx.nn.Linear
    time: eqx.nn.MLP
    label: eqx.nn.Linear
    blocks: Block  # all of them, stacked: one trace whatever the depth
    modulation: eqx.nn.Linear
    head: eqx.nn.Linear
    shape: tuple[int, int, int] = eqx.field(static=True)
    patch: int = eqx.field(static=True)

    def __init__(self, key, shape: tuple[int, int, int], patch: int, classes: int = 10, width: int = 64, depth: int = 4, heads: int = 4, bottleneck: int = 32):
        check.count(classes=classes, width=width, depth=depth, heads=heads, bottleneck=bottleneck)
        grid(shape, patch)
        if width % 4:
            raise ValueError(f"width is {width}; expected a multiple of 4: sines and cosines of row and column")
        keys, size = jax.random.split(check.key(key), 7), patch * patch * shape[2]
        self.embed = eqx.nn.Linear(size, bottleneck, use_bias=False, key=keys[0])
        self.lift = eqx.nn.Linear(bottleneck, width, key=keys[1])
        self.time = eqx.nn.MLP(width, width, width, 1, jax.nn.silu, key=keys[2])
        self.label = eqx.nn.Linear(classes, width, use_bias=False, key=keys[3])
        self.blocks = eqx.filter_vmap(lambda key: Block(key, width, heads))(jax.random.split(keys[4], depth))
        self.modulation = _zero(eqx.nn.Linear(width, 2 * width, key=keys[5]))
        self.head = _zero(eqx.nn.Linear(width, size, key=keys[6]))
        self.shape, self.patch = tuple(shape), patch

    def positions(self) -> Float[Array, "N W"]:
        """Half of the numbers tell a token's row, half its column."""
        rows, columns = jnp.meshgrid(*(jnp.arange(1.0 * n) for n in grid(self.shape, self.patch)), indexing="ij")
        half = self.lift.out_features // 2
        return jnp.concatenate([waves(at.ravel(), half, 100.0) for at in (rows, columns)], -1)

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""], label: Float[Array, " C"]) -> Float[Array, " D"]:
        if z.shape != (np.prod(self.shape),):
            raise ValueError(f"the data has shape {z.shape}; this model expects ({np.prod(self.shape)},)")
        if label.shape != (self.label.in_features,):
            raise ValueError(f"the label has shape {label.shape}; this model expects ({self.label.in_features},)")
        tokens = jax.vmap(self.lift)(jax.vmap(self.embed)(patchify(z.reshape(self.shape), self.patch))) + self.positions()
        condition = jax.nn.silu(self.time(waves(1000 * t, self.lift.out_features, 1000.0)) + self.label(label))
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)
        tokens, _ = jax.lax.scan(lambda tokens, block: (eqx.combine(block, rest)(tokens, condition), None), tokens, arrays)
        shift, scale = jnp.split(self.modulation(condition), 2)
        pixels = jax.vmap(self.head)(modulated(tokens, shift, scale))
        return unpatchify(pixels, self.shape, self.patch).ravel()
