"""The experiment: settings in, error bars out (chapter 7)."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp

from jitlib import check
from jitlib import data as data_
from jitlib.mesh import check_mesh
from jitlib.metrics import rms, sliced_wasserstein
from jitlib.sample import sample, sampling_grid
from jitlib.setting import Setting
from jitlib.target import named
from jitlib.train import fit, stack


@dataclasses.dataclass(frozen=True)
class Run:
    """What one training run gave: its loss history, model, samples in the plane (n, 2), and their two errors."""

    setting: Setting
    seed: int
    model: eqx.Module
    losses: np.ndarray
    cloud: np.ndarray
    in_plane: float  # sliced Wasserstein-2 distance to fresh data
    off_plane: float  # root-mean-square length off the plane


@dataclasses.dataclass(frozen=True)
class Keys:
    """One key for each purpose, split once.  A seed gives every prediction the same data, plane, weights and noise."""

    data: jax.Array
    basis: jax.Array
    model: jax.Array
    train: jax.Array
    sample: jax.Array
    fresh: jax.Array

    @classmethod
    def of(cls, seed: int) -> "Keys":
        return cls(*jax.random.split(jax.random.key(seed), 6))


def embedded(setting: Setting, keys: Keys) -> data_.Embedded:
    """The training data of a setting: its points on a random plane in `dim` dimensions."""
    points = setting.data(keys.data, setting.num_points)
    return data_.Embedded(points, _basis(keys.basis, setting.dim, points.shape[-1]))


_basis = jax.jit(data_.orthonormal, static_argnums=(1, 2))


@eqx.filter_jit
def _models(keys, make, dim, width, depth):
    return eqx.filter_vmap(lambda key: make(key, dim, width, depth))(keys)


def _train(settings: Sequence[Setting], keys: Sequence[Keys], progress: bool, mesh):
    one = settings[0]
    sets = [embedded(s, k) for s, k in zip(settings, keys)]
    models = _models(jnp.stack([k.model for k in keys]), one.model, one.dim, one.width, one.depth)
    losses, rates = stack([s.flow_loss() for s in settings]), stack([s.rates() for s in settings])
    models, history = fit(jnp.stack([k.train for k in keys]), models, stack(sets), losses, one.num_steps, one.batch_size, rates, progress=progress, mesh=mesh)
    arrays, rest = eqx.partition(models, eqx.is_array)
    return sets, [eqx.combine(jax.tree.map(lambda a: a[i], arrays), rest) for i in range(len(sets))], history


_views = jax.jit(lambda data, z: (data.project(z), data.off_plane(z)))


def _measure(setting: Setting, seed: int, keys: Keys, data, model, losses) -> Run:
    grid = {"num_steps": setting.solver_steps, "step": setting.solver, "start": setting.start, "stop": setting.stop}
    z = sample(keys.sample, model, named(setting.prediction), setting.num_points, setting.dim, **grid)
    (cloud, off), fresh = _views(data, z), setting.data(keys.fresh, setting.num_points)
    finite = np.isfinite(z).all()  # a sampler that ran away is infinitely far from the data
    errors = (sliced_wasserstein(cloud, fresh), rms(off)) if finite else (np.inf, np.inf)
    return Run(setting, seed, model, losses, np.asarray(cloud), *errors)


def shape_of(setting: Setting) -> Setting:
    """The setting without what is data to a compiled function: runs that agree in it train in one compiled call."""
    family = type(setting.times) if isinstance(setting.times, eqx.Module) else setting.times
    data = {"prediction": "x", "loss": "v", "learning_rate": 1.0, "constant_rate": False, "floor": 0.0, "times": family}
    return dataclasses.replace(setting, **data)


def runs(pairs: Iterable[tuple[Setting, int]], progress: bool = True, mesh=None) -> Iterator[Run]:
    """Train and measure pairs of a setting and a seed, those of one shape in one compiled call; yield each run as it is measured.

    Runs come shape by shape.  On a `mesh` the models of a shape are divided over its axis "models", so their number must divide.
    Raises ValueError, before any training, on a seed that is not a natural number, on times between which nothing can be sampled and
    where models or batch do not divide.
    """
    shapes = {}
    for setting, seed in dict.fromkeys(pairs):
        check.count(0, seed=seed)
        sampling_grid(named(setting.prediction), setting.solver_steps, setting.start, setting.stop)
        shapes.setdefault(shape_of(setting), []).append((setting, seed))
    for shape, group in shapes.items():
        check_mesh(mesh, len(group), shape.batch_size)
    for group in shapes.values():
        keys = [Keys.of(seed) for _, seed in group]
        sets, models, history = _train([s for s, _ in group], keys, progress, mesh)
        for pair, *rest in zip(group, keys, sets, models, history):
            yield _measure(*pair, *rest)


def sweep(settings: Iterable[Setting], seeds: Sequence[int] = (0, 1, 2), progress: bool = True, mesh=None) -> list[Run]:
    """Train and measure every setting with every seed: a Run for each pair, settings in the order given and seeds within.

    Those of one shape train in one compiled call.  Mesh and errors as in `runs`.
    """
    pairs = [(setting, seed) for setting in settings for seed in seeds]
    found = {(run.setting, run.seed): run for run in runs(pairs, progress, mesh)}
    return [found[pair] for pair in pairs]


def floor_of(setting: Setting, seed: int) -> float:
    """The noise floor of `in_plane`: the distance between two independent draws of the data, `num_points` each."""
    keys = Keys.of(seed)
    return sliced_wasserstein(setting.data(keys.data, setting.num_points), setting.data(keys.fresh, setting.num_points))
