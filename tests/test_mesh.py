"""One device, eight devices, two processes: the same losses."""
import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import jitlib

WORK = """
import json, sys
import jax
processes, rank, port, models, batch = map(int, sys.argv[1:])
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank)
import numpy as np
import jitlib
mesh = jitlib.device_mesh(models, batch) if models else None
small = {"width": 32, "num_steps": 30, "batch_size": 64, "num_points": 400, "solver_steps": 4}
settings = [jitlib.recipe(12, name, **small) for name in jitlib.TARGETS]
runs = jitlib.sweep(settings[:2], seeds=range(4), mesh=mesh)
setting, keys = settings[0], jitlib.experiment.Keys.of(0)  # a single model, not stacked: the batch alone is divided
data = jitlib.experiment.embedded(setting, keys)
alone = jitlib.fit(keys.train, jitlib.MLP(keys.model, 12, 32), data, setting.flow_loss(), 30, 64, 5e-3, mesh=mesh)[1].tolist()
print(json.dumps({"devices": len(jax.devices()), "losses": [run.losses.tolist() for run in runs],
                  "in_plane": [run.in_plane for run in runs], "alone": alone}))
"""


def launch(models, batch, devices=1, processes=1):
    """The result of WORK in fresh processes with so many virtual CPU devices each; they must all report the same."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    ranks = [
        subprocess.Popen([sys.executable, "-c", WORK, *map(str, (processes, rank, port, models, batch))], env=env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in range(processes)
    ]  # fmt: skip
    done = [rank.communicate(timeout=240) for rank in ranks]
    assert not any(rank.returncode for rank in ranks), "\n".join(err for _, err in done)[-3000:]
    results = [json.loads(out.splitlines()[-1]) for out, _ in done]
    assert all(r["losses"] == results[0]["losses"] for r in results)
    assert results[0]["devices"] == devices * processes
    return results[0]


@pytest.fixture(scope="module")
def single():
    return launch(0, 0)


@pytest.mark.parametrize("models, batch, devices, processes", [(4, 2, 8, 1), (1, 8, 8, 1), (2, 1, 1, 2), (1, 2, 1, 2)])
def test_any_mesh_gives_the_losses_of_one_device(single, models, batch, devices, processes):
    many = launch(models, batch, devices, processes)
    np.testing.assert_allclose(many["losses"], single["losses"], rtol=1e-5)
    np.testing.assert_allclose(many["in_plane"], single["in_plane"], rtol=1e-3)
    np.testing.assert_allclose(many["alone"], single["alone"], rtol=1e-5)


DIVIDED = """
import jax, jitlib
from jitlib.train import ADAM, run_chunk
import equinox as eqx
key = jax.random.key(0)
data = jitlib.Embedded(jitlib.swiss_roll(key, 100), jitlib.orthonormal(key, 64))
model, loss = jitlib.MLP(key, 64), jax.tree.map(lambda l: l if callable(l) else jax.numpy.asarray(l), jitlib.FlowLoss(jitlib.X))
args = model, ADAM.init(eqx.filter(model, eqx.is_inexact_array)), jax.random.split(key, 5), jax.numpy.ones(5), data, loss, 256, ADAM
for mesh in (None, jitlib.device_mesh(1, 8)):
    compiled = eqx.filter_jit(run_chunk.__wrapped__).lower(*args, mesh).compile()
    print(compiled.compiled.cost_analysis()["flops"], "all-reduce" in compiled.compiled.as_text())
"""


def test_the_batch_is_truly_divided_over_the_devices():
    """Equal losses would also come of eight devices that each do all the work; each must do an eighth of it."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"}
    done = subprocess.run([sys.executable, "-c", DIVIDED], env=env, text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    (whole, lonely), (share, reduced) = [line.split() for line in done.stdout.splitlines()]
    assert float(share) < float(whole) / 4 and (lonely, reduced) == ("False", "True")
