"""One trainer: a jitted scan over steps (chapter 5)."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
import optax
from jax import numpy as jnp
from jaxtyping import Array, Float
from tqdm import tqdm

from jitlib import check
from jitlib.mesh import check_mesh, constrain, gather, scatter

PATIENCE = 3  # seconds of training before a progress bar appears
CHUNK = 100  # steps between two looks of the host: often enough to show progress, rarely enough to cost nothing
ADAM = optax.scale_by_adam(b2=0.95)  # Adam without its rate, which is data; b2 was searched in chapter 5


class Diverged(FloatingPointError):
    """Training met a non-finite loss or weight.  Carries `step`, the last finite `model` and the `losses` up to it."""

    def __init__(self, what: str, step: int, model, losses):
        super().__init__(f"{what} step {step}; expected finite numbers. Lower the learning rate?")
        self.step, self.model, self.losses = step, model, losses


@functools.partial(jax.jit, static_argnames=("num_steps", "warmup", "end"))
def warmup_cosine(peak, num_steps: int, warmup: float = 0.05, end: float = 0.01) -> Float[Array, "*models T"]:
    """The rate of every step: linear from 0 to `peak` over the first 5 %, then a half cosine to 1 % of `peak`.

    `peak` may be an array of shape (S,): one schedule for each of S models, shape (S, T).
    """
    shape = optax.warmup_cosine_decay_schedule(0.0, 1.0, max(1, round(warmup * num_steps)), max(2, num_steps), end)
    return jnp.multiply.outer(jnp.asarray(peak), shape(jnp.arange(1, num_steps + 1)))


def update(model, opt_state, key, rate, data, loss: Callable, batch_size: int, optimizer=ADAM, mesh=None):
    """One training step: draw a batch with replacement, take the loss's gradient, move the weights.

    Returns (model, opt_state, loss).  `fit` scans this very function; a plain loop may call it.
    """
    row_key, loss_key = jax.random.split(key)
    x = constrain(data[jax.random.randint(row_key, (batch_size,), 0, len(data))], mesh, "batch")
    value, gradient = eqx.filter_value_and_grad(loss)(model, loss_key, x)
    change, opt_state = optimizer.update(gradient, opt_state, eqx.filter(model, eqx.is_inexact_array))
    change = jax.tree.map(lambda c: -rate * c, change)
    return eqx.apply_updates(model, change), opt_state, value


def stack(trees):
    """Trees of one structure as one tree, every leaf stacked on a new first axis: models, data or losses for `fit` to train at once.

    A function among the leaves, such as `uniform`, must be the same in all and stays as it is.
    """
    return jax.tree.map(lambda *leaves: leaves[0] if callable(leaves[0]) else jnp.asarray(np.stack(leaves)), *trees)


def _run(model, opt_state, keys, rates, data, loss, batch_size, optimizer, mesh):
    weights, rest = eqx.partition(model, eqx.is_array)

    def body(carry, step):
        model, opt_state, value = update(eqx.combine(carry[0], rest), carry[1], *step, data, loss, batch_size, optimizer, mesh)
        return (eqx.filter(model, eqx.is_array), opt_state), value

    (weights, opt_state), losses = jax.lax.scan(body, (weights, opt_state), (keys, rates))
    return eqx.combine(weights, rest), opt_state, losses


@eqx.filter_jit
def run_chunk(model, opt_state, keys, rates, data, loss, batch_size, optimizer, mesh=None):
    """Many steps in one compiled call.  Keys of shape (S, T) train S models, every array leaf stacked on a leading axis."""
    arrays, rest = eqx.partition((model, opt_state, keys, rates, data, loss), eqx.is_array)
    run = lambda a: eqx.filter(_run(*eqx.combine(a, rest), batch_size, optimizer, mesh), eqx.is_array)
    if keys.ndim == 2:
        run = jax.vmap(run, spmd_axis_name="models")
    model, opt_state, losses = run(arrays)
    return *eqx.combine((model, opt_state), rest[:2]), constrain(losses, mesh)  # every device and host sees all the losses


@eqx.filter_jit
def _sound(model):
    return jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))]).all()


@eqx.filter_jit
def _begin(key, model, rates, num_steps, optimizer):
    """The optimizer's first state, and the keys and rates of every chunk; compiled as one, since a dozen small calls take longer."""
    if rates.ndim == key.ndim:
        rates = warmup_cosine(rates, num_steps)
    # Chunks of one length make one trace.  The last is filled up with steps of rate zero, which change nothing.
    count = -(-num_steps // CHUNK)
    length = -(-num_steps // max(1, count))
    rates = jnp.pad(rates, [(0, 0)] * key.ndim + [(0, count * length - num_steps)])
    split = lambda k: jax.random.split(k, count * length)
    keys = split(key) if key.ndim == 0 else jax.vmap(split)(key)
    chunks = [(keys[..., i : i + length], rates[..., i : i + length]) for i in range(0, num_steps, max(1, length))]
    init = lambda m: optimizer.init(eqx.filter(m, eqx.is_inexact_array))
    return init(model) if key.ndim == 0 else eqx.filter_vmap(init)(model), chunks


def _check(key, model, data, loss, num_steps, batch_size, learning_rate):
    check.count(0, num_steps=num_steps)
    check.count(batch_size=batch_size)
    check.within(0, float("inf"), learning_rate=learning_rate)
    if not _sound(model):
        raise ValueError("the model has a weight that is infinite or NaN; expected finite numbers")
    if not callable(loss):
        raise ValueError(f"loss is {loss!r}; expected a function (model, key, x) -> number, such as FlowLoss(X)")
    for leaf in jax.tree.leaves(data):
        if 0 in jnp.shape(leaf):
            raise ValueError(f"the data set is empty, of shape {jnp.shape(leaf)}; expected at least one row and one column")
        if not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating):
            raise ValueError(f"the data have the type {jnp.asarray(leaf).dtype}; expected floating-point numbers")
        rows = np.argwhere(~np.isfinite(leaf))
        if len(rows):
            raise ValueError(f"the data has a non-finite number at index {tuple(map(int, rows[0]))}; expected none")


def fit(
    key,
    model,
    data,
    loss: Callable,
    num_steps: int = 1000,
    batch_size: int = 256,
    learning_rate=5e-3,
    optimizer: optax.GradientTransformation = ADAM,
    progress: bool = True,
    mesh: jax.sharding.Mesh | None = None,
):
    """Train a model on data: returns (model, losses), losses of shape (num_steps,).

    data: anything with len() that gives rows (B, D) when indexed, such as an array (n, D) or `Embedded`.
    loss: a function (model, key, x) -> scalar, such as `FlowLoss`.
    learning_rate: a peak, scheduled by `warmup_cosine`, or an array (num_steps,) with the rate of every step.
    Many models at once: give S keys and, each as one `stack`, S models, data sets, losses and rates; losses are (S, num_steps).
    On a `mesh` (see `device_mesh`) the S models are divided over its axis "models" and each batch over its axis "batch"; the
    numbers are those of one device, up to rounding.
    Training that takes longer than a few seconds shows its progress, unless `progress` is False.
    Interrupted by the keyboard, it returns what it has.  Zero steps return the model as it was.
    Raises ValueError on bad arguments and Diverged on a non-finite loss or weight.  Chapter 5.
    """
    key = check.key(key, batch=True)
    _check(key, model, data, loss, num_steps, batch_size, learning_rate)
    check_mesh(mesh, len(key) if key.ndim else None, batch_size)
    # Numbers become arrays: data to the compiled step, not code.  A plain function passes through.
    data, loss = jax.tree.map(lambda leaf: leaf if callable(leaf) else jnp.asarray(leaf), (data, loss))
    for name, tree in {"model": model, "data": data, "loss": loss}.items():
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)) if key.ndim else ():
            if leaf.shape[:1] != key.shape:
                raise ValueError(f"there are {len(key)} keys and the {name} has an array of shape {leaf.shape}; expected {len(key)} stacked on the first axis")
    rates = jnp.asarray(learning_rate, float)
    if rates.shape not in (key.shape, key.shape + (num_steps,)):
        raise ValueError(f"learning_rate has shape {rates.shape}; expected {key.shape} or {key.shape + (num_steps,)}")
    opt_state, chunks = _begin(key, model, rates, num_steps, optimizer)
    axes = ("models",) * key.ndim
    model_, opt_state, data, loss = scatter((model, opt_state, data, loss), mesh, *axes)
    losses, done = np.zeros(key.shape + (0,), np.float32), model  # what is sure: the finite losses and the weights that go with them
    bar = tqdm(total=num_steps, disable=not progress, delay=PATIENCE, desc="training")
    try:
        for steps in chunks:
            start = losses.shape[-1]
            model_, opt_state, values = run_chunk(model_, opt_state, *scatter(steps, mesh, *axes), data, loss, batch_size, optimizer, mesh)
            values = np.asarray(values)[..., : num_steps - start]
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                first = bad[bad[:, -1].argmin()]
                raise Diverged(f"the loss became {values[tuple(first)]} at", start + int(first[-1]), gather(done, mesh), losses)
            if not _sound(model_):
                raise Diverged("a weight became infinite or NaN by", start + values.shape[-1] - 1, gather(done, mesh), losses)
            done, losses = model_, np.concatenate([losses, values], -1)
            bar.update(values.shape[-1])
    except KeyboardInterrupt:
        print(f"interrupted after {losses.shape[-1]} of {num_steps} steps; returning the model as it stands")
    finally:
        bar.close()
    return gather(done, mesh), losses
