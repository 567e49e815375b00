"""One training run in full: the setting, and the best ones found (chapters 5 and 7)."""

import dataclasses
from collections.abc import Callable

from jax import numpy as jnp

from jitlib import check
from jitlib import data as data_
from jitlib.loss import FlowLoss
from jitlib.model import MLP
from jitlib.sample import euler_step, heun_step
from jitlib.target import named
from jitlib.times import ClippedUniform, LogitNormal, uniform
from jitlib.train import warmup_cosine


@dataclasses.dataclass(frozen=True)
class Setting:
    """One training run, complete but for its seed.  `prediction` and `loss` are names in TARGETS, `model` makes the network from
    (key, dim, width, depth).

    Raises ValueError on another name, on sizes that are not positive integers, on what must be a function and is not, on a negative
    floor or rate.
    """

    dim: int
    prediction: str = "x"
    loss: str = "v"
    width: int = 256
    depth: int = 5
    model: Callable = MLP
    num_steps: int = 1000
    batch_size: int = 256
    learning_rate: float = 5e-3
    constant_rate: bool = False
    times: Callable = uniform
    floor: float = 0.05
    mean_target: bool = False
    data: Callable = data_.swiss_roll
    num_points: int = 10_000
    solver: Callable = heun_step
    solver_steps: int = 50
    start: float | None = None
    stop: float = 1.0

    def __post_init__(self):
        named(self.prediction), named(self.loss)
        sizes = ("dim", "width", "batch_size", "num_points", "solver_steps")
        check.count(**{name: getattr(self, name) for name in sizes})
        check.count(0, num_steps=self.num_steps)
        check.within(0, float("inf"), learning_rate=self.learning_rate)
        for name in ("model", "data", "solver"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected a function")
        self.flow_loss()

    def flow_loss(self) -> FlowLoss:
        """The loss of this setting."""
        return FlowLoss(named(self.prediction), named(self.loss), self.times, self.floor, self.mean_target)

    def rates(self):
        """The learning rate of every step, shape (num_steps,)."""
        if self.constant_rate:
            return jnp.full(self.num_steps, self.learning_rate)
        return warmup_cosine(self.learning_rate, self.num_steps)


def recipe(dim: int, prediction: str = "x", **changes) -> Setting:
    """The best setting found for a prediction with 500 steps of 256 examples (the searches of chapter 5)."""
    times = LogitNormal(0.0, 1.7) if prediction == "eps" else LogitNormal(1.0, 1.5)
    rate = 1e-3 if prediction == "eps" and dim > 32 else 5e-3
    found = {"num_steps": 500, "learning_rate": rate, "times": times, "floor": 0.1, "mean_target": True, "solver_steps": 25}
    return Setting(dim, prediction, **found | changes)


def notebook_recipe(dim: int, prediction: str = "x", **changes) -> Setting:
    """The setting of the notebook this book began as: 18,000 steps of 1,024 at a constant rate, times clipped to [0.01, 0.99],
    100 Euler steps from t = 0.01.

    One thing differs: for eps the notebook floors the conversion instead of the weight (chapter 3, equation 3.3).
    """
    training = {"num_steps": 18_000, "batch_size": 1024, "learning_rate": 1e-3, "constant_rate": True}
    times = {"times": ClippedUniform(0.01, 0.99), "floor": 0.05 if prediction == "eps" else 0.01}
    sampling = {"solver": euler_step, "solver_steps": 100, "start": 0.01}
    return Setting(dim, prediction, **training | times | sampling | changes)
