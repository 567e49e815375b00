"""The experiment, and the shape of the library itself."""
import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jitlib
from jitlib import TARGETS


def test_sweep_pairs_seeds_across_predictions():
    small = {"num_steps": 3, "num_points": 50, "solver_steps": 2, "width": 8, "depth": 2, "batch_size": 4}
    settings = [jitlib.Setting(4, p, **small) for p in TARGETS]
    runs = jitlib.sweep(settings, seeds=(0, 1))
    assert [(r.setting.prediction, r.seed) for r in runs] == [(p, s) for p in TARGETS for s in (0, 1)]
    (alone,) = jitlib.sweep(settings[2:], seeds=(1,))
    np.testing.assert_allclose(alone.losses, runs[5].losses, rtol=1e-5)


LAYERS = ["check", "path", "target", "times", "oracle", "loss", "model", "data", "metrics", "sample", "mesh", "train", "plot", "experiment", "table"]


def imports(source):
    """The modules of jitlib that a module's source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jitlib" or getattr(node, "level", 0):
            found |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jitlib.")}
    return found


def test_the_library_is_flat_and_acyclic_and_only_experiment_knows_all():
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
        notebook = jitlib.experiment.notebook_recipe(8, name)
        assert (notebook.num_steps, notebook.batch_size) == (18_000, 1024) and set(np.asarray(notebook.rates())) == {np.float32(1e-3)}
    (run,) = jitlib.sweep([jitlib.experiment.notebook_recipe(4, num_steps=300, batch_size=64, num_points=1000)], seeds=(0,))
    assert run.losses[-50:].mean() < 0.7 * run.losses[:50].mean()


@pytest.mark.parametrize("values, text", [
    ([113.0, 114.0], "≈ 114 ± 11"), ([0.5, 0.5], "≈ 0.500 ± 0.050"), ([0.0, 0.0], "≈ 0.000 ± 0.001"), ([9.0, 11.0], "≈ 10.0 ± 2.8"),
])
def test_spread_prints_two_digits_of_the_band(values, text):
    assert jitlib.plot.spread(values) == text
