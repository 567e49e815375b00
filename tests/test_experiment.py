"""The experiment, and the shape of the library itself."""
import ast
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jitlib
from jitlib import TARGETS


# Of one shape, so that it is compiled once; no two numbers alike, so that none can stand for another.
SMALL = {"num_steps": 7, "num_points": 200, "solver_steps": 6, "width": 8, "depth": 2, "batch_size": 5}


def test_sweep_pairs_seeds_across_predictions():
    settings = [jitlib.Setting(4, p, **SMALL) for p in TARGETS]
    runs = jitlib.sweep(settings, seeds=(0, 1))
    assert [(r.setting.prediction, r.seed) for r in runs] == [(p, s) for p in TARGETS for s in (0, 1)]
    assert (runs[0].losses != runs[1].losses).any()
    (alone,) = jitlib.sweep(settings[2:], seeds=(1,))
    np.testing.assert_allclose(alone.losses, runs[5].losses, rtol=1e-5)


LAYERS = ["check", "path", "target", "times", "oracle", "loss", "model", "data", "metrics", "sample", "mesh", "train", "plot", "setting", "experiment", "table", "moving", "images", "transformer"]


def imports(source):
    """The modules of jitlib that a module's source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jitlib" or getattr(node, "level", 0):
            found |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jitlib.")}
    return found


def test_the_library_is_flat_and_acyclic():
    folder = Path(jitlib.__file__).parent
    assert sorted(p.stem for p in folder.glob("*.py")) == sorted([*LAYERS, "__init__"])
    assert not [p for p in folder.iterdir() if p.is_dir() and not p.name.endswith(("__pycache__", ".egg-info", "build"))]
    for i, name in enumerate(LAYERS):
        found = imports((folder / f"{name}.py").read_text(encoding="utf8"))
        assert found <= set(LAYERS[:i]), f"{name} imports {found - set(LAYERS[:i])}"
    assert imports("from jitlib.loss import FlowLoss\nfrom jitlib import path\nimport jitlib.train") == {"loss", "path", "train"}


def test_recipes_name_a_setting_for_every_prediction():
    for name in TARGETS:
        assert jitlib.recipe(8, name, num_steps=7).num_steps == 7
        notebook = jitlib.setting.notebook_recipe(8, name)
        assert (notebook.num_steps, notebook.batch_size) == (18_000, 1024) and (np.asarray(notebook.rates()) == 1e-3).all()
    (run,) = jitlib.sweep([jitlib.setting.notebook_recipe(4, num_steps=300, batch_size=64, num_points=1000)], seeds=(0,))
    assert run.losses[-50:].mean() < 0.7 * run.losses[:50].mean()


@pytest.mark.parametrize("values, text", [
    ([113.0, 114.0], "≈ 114 ± 11"), ([0.5, 0.5], "≈ 0.500 ± 0.050"), ([0.0, 0.0], "≈ 0.000 ± 0.001"), ([9.0, 11.0], "≈ 10.0 ± 2.8"),
])
def test_spread_prints_two_digits_of_the_band(values, text):
    assert jitlib.plot.spread(values) == text


def test_a_run_reports_the_errors_of_its_own_cloud_against_fresh_data():
    setting = jitlib.Setting(4, "v", **SMALL)
    (run,) = jitlib.sweep([setting], seeds=(9,))
    keys = jitlib.experiment.Keys.of(9)
    data = jitlib.experiment.embedded(setting, keys)
    z = jitlib.sample(keys.sample, run.model, TARGETS["v"], 200, 4, num_steps=6)
    np.testing.assert_allclose(run.cloud, data.project(z), atol=1e-5)
    assert np.isclose(run.off_plane, jitlib.rms(data.off_plane(z)), rtol=1e-4)
    fresh = jitlib.swiss_roll(keys.fresh, 200)
    assert np.isclose(run.in_plane, jitlib.sliced_wasserstein(jax.numpy.asarray(run.cloud), fresh), rtol=1e-3)
    assert not np.isclose(run.in_plane, jitlib.sliced_wasserstein(jax.numpy.asarray(run.cloud), data.points), rtol=1e-3)


def far(velocity, z, t, s):
    """A solver that runs away."""
    return z / (t - t)


def test_samples_that_ran_away_are_infinitely_far():
    """M5."""
    setting = jitlib.Setting(4, "v", **SMALL, solver=far)
    (run,) = jitlib.sweep([setting], seeds=(4,))
    assert run.in_plane == run.off_plane == np.inf and not np.isfinite(run.cloud).any()


def test_what_cannot_be_sampled_is_refused_before_any_training(monkeypatch):
    monkeypatch.setattr(jitlib.experiment, "fit", None)
    for bad in (jitlib.Setting(2, start=0.9, stop=0.5), jitlib.Setting(2, "eps", start=0.0)):
        with pytest.raises(ValueError, match="expected"):
            jitlib.sweep([jitlib.Setting(3), bad])


def test_a_setting_starts_no_device():
    """Several hosts must first be told of each other (chapter 13), and a script may list its settings before."""
    program = "import jitlib, jax; jitlib.recipe(8, 'eps', start=0.1); assert not jax._src.xla_bridge.backends_are_initialized()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_noise_floor_of_a_setting_is_the_distance_of_two_draws_of_its_data():
    """M4."""
    setting, keys = jitlib.Setting(6, num_points=300), jitlib.experiment.Keys.of(3)
    first, second = (jitlib.swiss_roll(key, 300) for key in (keys.data, keys.fresh))
    assert jitlib.experiment.floor_of(setting, 3) == jitlib.sliced_wasserstein(first, second) > 0.01


def test_every_purpose_has_a_key_of_its_own():
    keys = jitlib.experiment.Keys.of(0)
    values = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in vars(keys).values()}
    assert len(values) == len(vars(keys)) == 6 and vars(jitlib.experiment.Keys.of(1)) != vars(keys)


def test_a_setting_chooses_its_network():
    made = []

    def make(key, dim, width, depth):
        made.append((dim, width, depth))
        return jitlib.Skip(jitlib.MLP(key, dim, width, depth), lambda t: -1.0)

    (run,) = jitlib.sweep([jitlib.Setting(4, **SMALL | {"depth": 3}, model=make)], seeds=(0,))
    assert made == [(4, 8, 3)] and isinstance(run.model, jitlib.Skip)
    z, t = jax.numpy.ones(4), jax.numpy.asarray(0.5)
    np.testing.assert_allclose(run.model(z, t), run.model.net(z, t) - z, rtol=1e-6)
