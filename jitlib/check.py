"""What the library asks of an argument.  An error says what was received and what was expected."""

import jax
import numpy as np
from jax import numpy as jnp


def count(least: int = 1, /, **numbers) -> None:
    """ValueError unless every number is an integer, at least `least`."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}; expected an integer, at least {least}")


def known(value) -> bool:
    """Whether the numbers of a value can be looked at: inside a compiled function they cannot."""
    return not isinstance(value, jax.core.Tracer)


def within(low: float, high: float, /, **values) -> None:
    """ValueError unless every known number lies in [low, high] and is finite in the precision at hand; NaN does not and is not."""
    largest = float(jnp.finfo(jnp.result_type(float)).max)
    low, high = max(low, -largest), min(high, largest)
    for name, value in values.items():
        if known(value) and not np.all(fine := (np.asarray(value) >= low) & (np.asarray(value) <= high)):
            raise ValueError(f"{name} is {np.asarray(value)[~fine].flat[0]}; expected a number in [{low:g}, {high:g}]")


def row(length: int, index) -> None:
    """ValueError where an integer index, or an array of them, names no row of `length`: JAX would clamp it and return another row."""
    if isinstance(index, tuple) and index:
        row(length, index[0])
    elif isinstance(index, int) or jnp.issubdtype(getattr(index, "dtype", None), jnp.integer):
        within(-length, length - 1, index=index)


def key(key, batch: bool = False):
    """A typed key, as made by jax.random.key(0); a key of the old kind (two numbers of type uint32) is turned into one.

    Raises ValueError on anything else, and on an array of keys unless `batch` allows one axis of them.
    """
    if getattr(key, "dtype", None) == np.uint32 and key.shape[-1:] == (2,):
        key = jax.random.wrap_key_data(jnp.asarray(key))
    if not jnp.issubdtype(getattr(key, "dtype", None), jax.dtypes.prng_key):
        raise ValueError(f"key is {key!r}; expected a typed key, as made by jax.random.key(0)")
    if key.ndim > batch:
        raise ValueError(f"key has shape {key.shape}; expected {'at most one axis of keys' if batch else 'a single key, of shape ()'}")
    return key
