"""Samples on their way, and what the web page's moving figure is drawn from."""
import base64

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jitlib import Setting, TARGETS, heun_step, sample, sweep
from jitlib.experiment import Keys, embedded
from jitlib.metrics import rms
from jitlib.moving import LIMIT, MIME, packed, show, way

TINY = {"width": 8, "depth": 2, "num_steps": 2, "batch_size": 8, "num_points": 50, "solver_steps": 20}


@pytest.fixture(scope="module")
def by():
    """A run for every prediction."""
    return {run.setting.prediction: run for run in sweep([Setting(4, name, **TINY) for name in TARGETS], seeds=(1,))}


def test_a_way_is_that_of_the_sampler_from_shared_noise(by):
    found = {name: way(run, num_samples=7, save_every=5) for name, run in by.items()}
    for name, (times, points, off) in found.items():
        assert times.shape == off.shape == (5,) and points.shape == (5, 7, 2)
        assert times[0] == (0.05 if name == "eps" else 0) and times[-1] == 1
        data = embedded(by[name].setting, Keys.of(1))
        end = sample(Keys.of(1).sample, by[name].model, TARGETS[name], 7, 4, num_steps=20, step=heun_step)
        np.testing.assert_allclose(points[-1], data.project(end), atol=1e-5)
        np.testing.assert_allclose(off[-1], rms(data.off_plane(end)), rtol=1e-5)
    np.testing.assert_array_equal(found["x"].points[0], found["v"].points[0])
    np.testing.assert_allclose(found["eps"].points[0], 0.95 * found["x"].points[0], rtol=1e-5)


def test_packed_points_come_back_to_half_a_step():
    points = np.asarray(jax.random.normal(jax.random.key(0), (40, 2)))
    back = np.frombuffer(base64.b64decode(packed(points)), np.int8).reshape(40, 2) / 127 * LIMIT
    assert np.abs(back - np.clip(points, -LIMIT, LIMIT)).max() <= LIMIT / 254 + 1e-6
    assert np.abs(points).max() > LIMIT == np.abs(back).max()


def test_a_moving_figure_is_a_picture_with_its_paths_beside_it(by, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **rest: shown.append((data, rest)))
    fig, _ = plt.subplots(figsize=(3, 2))
    show(fig, {"b": ("second", "#000000"), "a": ("first", "#FFFFFF")}, {(D, name): way(by["v"], 7) for D in (8, 4) for name in "ab"})
    ((data, rest),) = shown
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG") and rest["metadata"] == {"image/png": {"width": 300, "height": 200}}
    assert data[MIME]["dims"] == [4, 8] and [panel["name"] for panel in data[MIME]["panels"]] == ["b", "a"]
    assert set(data[MIME]["paths"]) == {"4 a", "4 b", "8 a", "8 b"} and len(base64.b64decode(data[MIME]["paths"]["8 b"]["points"])) == 11 * 7 * 2
    assert not plt.fignum_exists(fig.number)
