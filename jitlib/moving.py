"""Samples on their way from noise to data, and a figure that shows them moving on the web page (chapters 7 and 8)."""

import base64
import io
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from jitlib import plot
from jitlib.experiment import Keys, Run, embedded
from jitlib.metrics import rms
from jitlib.sample import sample, sampling_grid
from jitlib.target import named

MIME = "application/vnd.jit-book.paths+json"
LIMIT = 2.0  # a coordinate beyond it is stored as if at it, out of the frame


class Way(NamedTuple):
    """A cloud at each of T times: `times` (T,), its points in the plane (T, n, 2), their root-mean-square distance off the plane (T,)."""

    times: np.ndarray
    points: np.ndarray
    off: np.ndarray


def way(run: Run, num_samples: int = 300, num_steps: int = 20, save_every: int = 2) -> Way:
    """Samples of a trained run on their way, at every `save_every`-th of `num_steps` steps of Heun.

    Runs of one seed and dimension start from the same noise.  Errors as in `sample`.
    """
    setting, keys = run.setting, Keys.of(run.seed)
    data, prediction = embedded(setting, keys), named(setting.prediction)
    grid = {"num_steps": num_steps, "start": setting.start, "stop": setting.stop}
    _, states = sample(keys.sample, run.model, prediction, num_samples, setting.dim, save_every=save_every, **grid)
    times = sampling_grid(prediction, **grid)[::save_every]
    return Way(np.asarray(times), np.asarray(data.project(states)), np.array([rms(data.off_plane(z)) for z in states]))


def packed(points) -> str:
    """Coordinates as signed bytes, 127 for LIMIT, in base64: a 64th of the frame is more than a screen shows."""
    return base64.b64encode(np.round(127 * np.clip(points, -LIMIT, LIMIT) / LIMIT).astype(np.int8)).decode()


def show(fig, panels: dict[str, tuple[str, str]], ways: dict[tuple[int, str], Way]) -> None:
    """Display a figure and close it; the web page has sliders for the time and the dimension in its place.

    `panels` gives the label and colour of each name, in the order of the panels, three in a row; `ways` has a `Way` for (D, name).
    Raises ValueError where one is missing.
    """
    from IPython.display import display

    dims = sorted({D for D, _ in ways})
    lacking = [(D, name) for D in dims for name in panels if (D, name) not in ways]
    if lacking or not dims:
        raise ValueError(f"there is no way for {lacking or 'any dimension'}; expected one for each of {list(panels)} in each dimension")
    paths = {f"{D} {name}": {"points": packed(w.points), "off": np.round(w.off, 3).tolist(), "times": np.round(w.times, 3).tolist()} for (D, name), w in ways.items()}
    shown = [{"name": name, "label": label, "color": color} for name, (label, color) in panels.items()]
    moving = {"dims": dims, "panels": shown, "frame": plot.FRAME[1], "limit": LIMIT, "paths": paths}
    picture = io.BytesIO()
    fig.savefig(picture, dpi=2 * fig.dpi)
    plt.close(fig)
    size = dict(zip(("width", "height"), (round(fig.dpi * side) for side in fig.get_size_inches())))
    display({"image/png": base64.b64encode(picture.getvalue()).decode(), MIME: moving}, raw=True, metadata={"image/png": size})
