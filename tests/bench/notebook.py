"""The notebook this book began as, step for step: the baseline of the benchmark, not a part of the library.

What it does differently from jitlib is kept on purpose: epochs driven from Python, 9 batches of 1,024 of the first 9,216 points,
Adam at a constant 1e-3, its clips, one key for everything, P a constant of the compiled step, a sampler that stacks every state.
"""
import equinox as eqx
import jax
import optax
from jax import numpy as jnp
from jax import random

BATCH, NUM_BATCHES, RATE = 1024, 9, 1e-3


class MLP(eqx.Module):
    layers: list

    def __init__(self, key, D):
        sizes = [D + 1, 256, 256, 256, 256, D]
        keys = random.split(key, 6)[1:]
        self.layers = [eqx.nn.Linear(i, o, key=k) for i, o, k in zip(sizes[:-1], sizes[1:], keys)]

    def __call__(self, x, t):
        x = jnp.concatenate([x, t], axis=-1)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


def loss(prediction, model, x, z, t, eps):
    y = jax.vmap(model)(z, t)
    velocity = {
        "x": lambda: (y - z) / (1 - t).clip(0.01, 0.99),
        "eps": lambda: (z - y) / t.clip(0.05, 0.95),
        "v": lambda: y,
    }[prediction]()
    return jnp.mean((x - eps - velocity) ** 2)


def step(model, state, x, t_key, noise_key, prediction, optimizer):
    t = random.uniform(t_key, shape=(x.shape[0], 1)).clip(0.01, 0.99)
    eps = random.normal(noise_key, shape=x.shape)
    value, grads = eqx.filter_value_and_grad(lambda m: loss(prediction, m, x, t * x + (1 - t) * eps, t, eps))(model)
    updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
    return eqx.apply_updates(model, updates), state, value


def fast(key, P, data, prediction, epochs, tick=float):
    """The notebook's fast loop: a scan over the batches of an epoch, Python over the epochs.  `tick` is called with the loss of every epoch."""
    model, optimizer = MLP(key, P.shape[0]), optax.adam(RATE)
    state = optimizer.init(eqx.filter(model, eqx.is_array))
    data = data[: BATCH * NUM_BATCHES]

    @eqx.filter_jit
    def epoch(model, state, key, data):
        static = eqx.filter(model, eqx.is_array, inverse=True)

        def body(carry, points):
            arrays, state, key = carry
            t_key, noise_key, key = random.split(key, 3)
            model, state, value = step(eqx.combine(arrays, static), state, points @ P.T, t_key, noise_key, prediction, optimizer)
            return (eqx.filter(model, eqx.is_array), state, key), value

        carry = eqx.filter(model, eqx.is_array), state, key
        (arrays, state, key), losses = jax.lax.scan(body, carry, data.reshape(NUM_BATCHES, BATCH, -1))
        return eqx.combine(arrays, static), state, key, jnp.mean(losses)

    losses = []
    for _ in range(epochs):
        key, order_key = random.split(key)
        model, state, key, value = epoch(model, state, key, data[random.permutation(order_key, len(data))])
        tick(value)
        losses.append(value)
    return model, losses


def slow(key, P, data, prediction, epochs, tick=float):
    """The notebook's slow loop: one jitted step, called from Python for every batch."""
    model, optimizer = MLP(key, P.shape[0]), optax.adam(RATE)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def one(model, x, state, key):
        return step(model, state, x, *random.split(key, 2), prediction, optimizer)

    losses = []
    for _ in range(epochs):
        key, order_key = random.split(key)
        shuffled, total = data[random.permutation(order_key, len(data))], 0
        for i in range(NUM_BATCHES):
            key, step_key = random.split(key)
            model, state, value = one(model, shuffled[i * BATCH : (i + 1) * BATCH] @ P.T, state, step_key)
            total += value
        tick(total / NUM_BATCHES)
        losses.append(total / NUM_BATCHES)
    return model, losses


def sample(model, noise, prediction, num_steps=100):
    """The notebook's sampler: Euler steps at linspace(0.01, 0.99), every state stacked and returned."""
    times = jnp.linspace(0.01, 0.99, num_steps)
    dt = times[1] - times[0]

    def euler(z, t):
        y = jax.vmap(model, in_axes=(0, None))(z, jnp.full((1,), t))
        velocity = {"x": lambda: (y - z) / (1 - t), "eps": lambda: (z - y) / t, "v": lambda: y}[prediction]()
        return z + dt * velocity, z

    return jax.lax.scan(euler, noise, times)
