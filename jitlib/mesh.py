"""Many devices: an ensemble of models along one axis of a mesh, the batch of each along the other (chapter 13)."""

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXES = ("models", "batch")


def device_mesh(models: int = 1, batch: int = 1, devices=None) -> Mesh:
    """A mesh of models x batch devices with the axes "models" and "batch"; by default of all devices of all processes.

    Raises ValueError where the number of devices is not models * batch.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) != models * batch:
        raise ValueError(f"there are {len(devices)} devices; a mesh of {models} x {batch} (models x batch) needs {models * batch}")
    return Mesh(np.array(devices).reshape(models, batch), AXES)


def check_mesh(mesh: Mesh | None, num_models: int | None, batch_size: int) -> None:
    """ValueError unless the models (None: a single one, not stacked) and the batch divide evenly over the mesh."""
    if mesh is None:
        return
    if mesh.axis_names != AXES:
        raise ValueError(f"the mesh has the axes {mesh.axis_names}; expected {AXES}, as made by device_mesh")
    for name, number in (("models", num_models), ("batch", batch_size)):
        if number is not None and number % mesh.shape[name]:
            raise ValueError(f"{number} {'examples' if name == 'batch' else name} cannot be divided evenly over the "
                             f"{mesh.shape[name]} devices of the mesh's axis {name!r}; expected a multiple of {mesh.shape[name]}")  # fmt: skip


def constrain(x, mesh: Mesh | None, *axes: str):
    """Inside a compiled function: lay x's leading axes out over these axes of the mesh, the others whole on every device."""
    return x if mesh is None else jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*axes)))


def scatter(tree, mesh: Mesh | None, *axes: str):
    """Place every array of a tree on the mesh, as `constrain` does."""
    return tree if mesh is None else _move(tree, NamedSharding(mesh, PartitionSpec(*axes)))


def gather(tree, mesh: Mesh | None):
    """Bring every array of a tree back whole, as an ordinary array of this process."""
    if mesh is None:
        return tree
    whole, rest = eqx.partition(_move(tree, NamedSharding(mesh, PartitionSpec())), eqx.is_array)
    return eqx.combine(jax.tree.map(lambda a: jnp.asarray(np.asarray(a)), whole), rest)


def _move(tree, sharding):
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.jit(lambda a: a, out_shardings=sharding)(arrays), rest)
