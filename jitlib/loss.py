"""The flow-matching loss for every prediction and every loss space (chapter 3)."""

from collections.abc import Callable

import equinox as eqx
import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import times as times_
from jitlib.oracle import IdealPredictor
from jitlib.path import interpolate
from jitlib.target import EPS, V, X, Target, convert, determinant


class FlowLoss(eqx.Module):
    """The loss |l_hat - l|^2 of a network that predicts `prediction`, measured in the space `loss`:

        weight(t) |y_hat - y|^2,    weight(t) = (Delta_loss(t) / Delta_prediction(t))^2

    averaged over the D coordinates, over t ~ times, over eps ~ N(0, I) and over the batch.  `floor` bounds both
    determinants away from zero.  A perfect prediction has loss zero whatever the floor is.
    With `mean_target` the pair (x, eps) that made z is replaced by its mean given z, were the batch all the data: the same
    gradient on average, up to a bias that fades as the batch grows, with far less noise (chapter 5, arXiv 2302.00670).
    Source: arXiv 2511.13720, section 3.2 and table 1.  Derived in chapter 3.
    """

    prediction: Target
    loss: Target = V
    times: Callable = times_.uniform
    floor: float | Float[Array, "..."] = 0.05
    mean_target: bool = eqx.field(default=False, static=True)

    def weight(self, t: Float[Array, "..."] | float) -> Float[Array, "..."]:
        """(Delta_loss / Delta_prediction)^2 at time t, of t's shape."""
        return (determinant(self.loss, t, self.floor) / determinant(self.prediction, t, self.floor)) ** 2

    def at(self, model, x: Float[Array, " D"], eps: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, ""]:
        """The loss of one example at a given noise and time."""
        error = model(interpolate(x, eps, t), t) - self.prediction.of(x, eps)
        return self.weight(t) * jnp.mean(error**2)

    def __call__(self, model, key, x: Float[Array, "B D"]) -> Float[Array, ""]:
        """The mean loss of a batch; one key draws its times and its noise."""
        time_key, noise_key = jax.random.split(key)
        t = self.times(time_key, x.shape[:1])
        eps = jax.random.normal(noise_key, x.shape)
        if self.mean_target:
            z = interpolate(x, eps, t)
            x = jax.vmap(IdealPredictor(x))(z, t)
            eps = convert(x, z, t, X, EPS)
        return jnp.mean(jax.vmap(self.at, in_axes=(None, 0, 0, 0))(model, x, eps, t))
