"""The flow-matching loss for every prediction and every loss space (chapter 3)."""

from collections.abc import Callable

import equinox as eqx
import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from jitlib import check
from jitlib import times as times_
from jitlib.oracle import IdealPredictor
from jitlib.path import interpolate, per_example
from jitlib.target import EPS, V, X, Target, checked, convert, determinant


class FlowLoss(eqx.Module):
    """The loss |l_hat - l|^2 of a network that predicts `prediction`, measured in the space `loss`:

        weight(t) |y_hat - y|^2,    weight(t) = (Delta_loss(t) / Delta_prediction(t))^2

    averaged over the D coordinates, over t ~ times, over eps ~ N(0, I) and over the batch.  `floor` bounds both
    determinants away from zero.  A perfect prediction has loss zero whatever the floor is.
    With `mean_target` the pair (x, eps) that made z is replaced by its mean given z and the batch: the same gradient on average,
    with far less noise (chapter 5, arXiv 2302.00670).
    Raises ValueError where prediction or loss is not a Target, times not a function or the floor negative.
    Source: arXiv 2511.13720, section 3.2 and table 1.  Derived in chapter 3.
    """

    prediction: Target
    loss: Target = V
    times: Callable = times_.uniform
    floor: float | Float[Array, "..."] = 0.05
    mean_target: bool = eqx.field(default=False, static=True)

    def __check_init__(self):
        checked(self.prediction, "prediction"), checked(self.loss, "loss")
        check.within(0, float("inf"), floor=self.floor)
        if not callable(self.times):
            raise ValueError(f"times is {self.times!r}; expected a function (key, shape) -> t, such as jitlib.uniform")

    def weight(self, t: Float[Array, "..."] | float) -> Float[Array, "..."]:
        """(Delta_loss / Delta_prediction)^2 at time t, of t's shape."""
        return (determinant(self.loss, t, self.floor) / determinant(self.prediction, t, self.floor)) ** 2

    def of(
        self, y: Float[Array, "*batch D"], x: Float[Array, "*batch D"], eps: Float[Array, "*batch D"], t: Float[Array, "..."]
    ) -> Float[Array, "*batch"]:
        """The loss of a prediction y of the target's value for the pair (x, eps) at time t, example by example.

        Raises ValueError where the shapes of y, x and eps differ, and as `interpolate` does where t does not fit them.
        """
        if not y.shape == x.shape == eps.shape:
            raise ValueError(f"the prediction has shape {y.shape}, the data {x.shape} and eps {eps.shape}; expected the same shape")
        return self.weight(per_example(t, x[..., 0])) * jnp.mean((y - self.prediction.of(x, eps)) ** 2, -1)

    def at(self, model, x: Float[Array, " D"], eps: Float[Array, " D"], t: Float[Array, ""]) -> Float[Array, ""]:
        """The loss of a model on one example at a given noise and time."""
        return self.of(model(interpolate(x, eps, t), t), x, eps, t)

    def __call__(self, model, key, x: Float[Array, "B D"], *given) -> Float[Array, ""]:
        """The mean loss of a batch; one key draws its times and its noise.

        `given` is what else the model is told, such as labels (B, C): the model is called as model(z, t, *given), example by example.
        Raises ValueError with `mean_target`, whose mean over the batch knows no labels, and where a length is not the batch's.
        """
        if given and self.mean_target:
            raise ValueError(f"mean_target is True and the model is given {len(given)} more argument(s); expected mean_target=False")
        if lengths := [len(g) for g in given if len(g) != len(x)]:
            raise ValueError(f"the batch has {len(x)} rows and what is given with it {lengths[0]}; expected as many")
        time_key, noise_key = jax.random.split(key)
        t = self.times(time_key, x.shape[:1])
        eps = jax.random.normal(noise_key, x.shape)
        z = interpolate(x, eps, t)
        if self.mean_target:
            x = jax.vmap(IdealPredictor(x))(z, t)
            eps = convert(x, z, t, X, EPS)
        return jnp.mean(self.of(jax.vmap(model)(z, t, *given), x, eps, t))


class Conditional(eqx.Module):
    """A loss for a model that is told a label: `loss`, with a share `drop` of the labels replaced by zeros, "no label".

    The batch is a pair of x (B, D) and labels (B, C), as rows of `Labelled` are; `loss` is called as loss(model, key, x, labels).
    Raises ValueError where loss is not a function or drop outside [0, 1].  Source: arXiv 2207.12598.  Chapter 12.
    """

    loss: Callable
    drop: float | Float[Array, "..."] = 0.1

    def __check_init__(self):
        if not callable(self.loss):
            raise ValueError(f"loss is {self.loss!r}; expected a function (model, key, x, labels) -> number, such as FlowLoss(X)")
        check.within(0, 1, drop=self.drop)

    def __call__(self, model, key, batch) -> Float[Array, ""]:
        """The mean loss of a batch; one key draws what is dropped, and what the loss draws."""
        x, labels = batch
        drop_key, key = jax.random.split(key)
        return self.loss(model, key, x, labels * jax.random.bernoulli(drop_key, 1 - self.drop, (len(x), 1)))
