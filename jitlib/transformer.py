"""A small JiT: a Transformer on large patches of raw pixels (chapter 12).  Source: arXiv 2511.13720, section 4 and appendix A."""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check
from jitlib.images import _divides, patchify, unpatchify


def waves(positions: Float[Array, "..."], size: int, longest: float) -> Float[Array, "... size"]:
    """Sines and cosines of a position, at size / 2 frequencies from 1 down to 1/longest."""
    angles = jnp.multiply.outer(positions, longest ** -jnp.linspace(0.0, 1.0, size // 2))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def rms_norm(x: Float[Array, "... k"]) -> Float[Array, "... k"]:
    """x / sqrt(mean x^2)."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def modulated(tokens: Float[Array, "N W"], shift: Float[Array, " W"], scale: Float[Array, " W"]) -> Float[Array, "N W"]:
    """Normed tokens, scaled and shifted by what the condition says (adaLN)."""
    return rms_norm(tokens) * (1 + scale)[None] + shift[None]


def _zero(linear: eqx.nn.Linear) -> eqx.nn.Linear:
    return jax.tree.map(jnp.zeros_like, linear)


class Block(eqx.Module):
    """Attention, then SwiGLU, each on normed tokens that the condition scales and shifts, each added through a gate (adaLN-Zero).

    The gates are zero at first, so a new block changes nothing.  Queries and keys are normed (qk-norm).
    """

    qkv: eqx.nn.Linear
    out: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    modulation: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, key, width: int, heads: int):
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

    Patches -> bottleneck -> tokens of `width`, plus fixed sine-cosine positions -> blocks -> norm -> a linear layer back to pixels.
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
        _divides(*shape[:2], patch)
        if width % (4 * heads):
            raise ValueError(f"width is {width} and heads {heads}; expected a width that 4 times the heads divide")
        keys, size = jax.random.split(check.key(key), 6), patch * patch * shape[2]
        self.embed = eqx.nn.Linear(size, bottleneck, use_bias=False, key=keys[0])
        self.lift = eqx.nn.Linear(bottleneck, width, key=keys[1])
        self.time = eqx.nn.MLP(width, width, width, 1, jax.nn.silu, key=keys[2])
        self.label = eqx.nn.Linear(classes, width, use_bias=False, key=keys[3])
        self.blocks = eqx.filter_vmap(lambda key: Block(key, width, heads))(jax.random.split(keys[4], depth))
        self.modulation = _zero(eqx.nn.Linear(width, 2 * width, key=keys[5]))
        self.head = _zero(eqx.nn.Linear(width, size, key=keys[5]))
        self.shape, self.patch = tuple(shape), patch

    def positions(self) -> Float[Array, "N W"]:
        """Half of the numbers tell a token's row, half its column."""
        height, width = (side // self.patch for side in self.shape[:2])
        rows, columns = jnp.meshgrid(jnp.arange(1.0 * height), jnp.arange(1.0 * width), indexing="ij")
        half = self.lift.out_features // 2
        return jnp.concatenate([waves(at.ravel(), half, 100.0) for at in (rows, columns)], -1)

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""], label: Float[Array, " C"]) -> Float[Array, " D"]:
        if z.shape != (np.prod(self.shape),):
            raise ValueError(f"the data has shape {z.shape}; this model expects ({np.prod(self.shape)},)")
        tokens = jax.vmap(self.lift)(jax.vmap(self.embed)(patchify(z.reshape(self.shape), self.patch))) + self.positions()
        condition = jax.nn.silu(self.time(waves(1000 * t, self.lift.out_features, 1000.0)) + self.label(label))
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)
        tokens, _ = jax.lax.scan(lambda tokens, block: (eqx.combine(block, rest)(tokens, condition), None), tokens, arrays)
        shift, scale = jnp.split(self.modulation(condition), 2)
        pixels = jax.vmap(self.head)(modulated(tokens, shift, scale))
        return unpatchify(pixels, self.shape, self.patch).ravel()


class Conditional(eqx.Module):
    """A loss for a model that is told a label: the flow loss, with a share `drop` of the labels replaced by zeros, "no label".

    Source: arXiv 2207.12598.  Chapter 12.
    """

    loss: Callable
    drop: float | Float[Array, "..."] = 0.1

    def __check_init__(self):
        check.within(0, 1, drop=self.drop)

    def __call__(self, model, key, batch) -> Float[Array, ""]:
        x, labels = batch
        drop_key, key = jax.random.split(key)
        return self.loss(model, key, x, labels * jax.random.bernoulli(drop_key, 1 - self.drop, (len(x), 1)))


class Guided(eqx.Module):
    """A model (z, t) for sampling one class: classifier-free guidance, within an interval of times.

        y = y_none + w (y_label - y_none),   w = `scale` for low <= t <= high, else 1

    Converting predictions to velocities is affine, so guiding y guides v.  Source: arXiv 2207.12598, 2404.07724.  Chapter 12.
    """

    model: Callable
    label: Float[Array, " C"]
    scale: float | Float[Array, ""] = 1.0
    low: float | Float[Array, ""] = 0.1
    high: float | Float[Array, ""] = 1.0

    def __call__(self, z: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, " D"]:
        told, untold = (self.model(z, t, label) for label in (self.label, 0 * self.label))
        return untold + jnp.where((t >= self.low) & (t <= self.high), self.scale, 1.0) * (told - untold)
