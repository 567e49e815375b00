"""One figure style for the whole book: the same three colours, equal aspect, points out of frame counted."""

import inspect

import matplotlib.pyplot as plt
import numpy as np

COLORS = {"x": "#0072B2", "eps": "#D55E00", "v": "#009E73", "data": "#4D4D4D"}
LABELS = {"x": r"$x$-prediction", "eps": r"$\epsilon$-prediction", "v": r"$v$-prediction", "data": "data"}
MARKERS = {"x": "o", "eps": "s", "v": "^", "data": "D"}  # shapes as well as colours: grey print keeps the meaning
FRAME = (-1.6, 1.6)  # the window of every cloud of the Swiss roll, both axes

RC = {
    "figure.figsize": (7.0, 3.2), "figure.dpi": 100, "figure.constrained_layout.use": True,
    "figure.facecolor": "white", "savefig.facecolor": "white",
    "font.size": 11, "axes.titlesize": 11, "axes.labelsize": 11, "legend.fontsize": 10, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#E6E6E6", "grid.linewidth": 0.7, "lines.linewidth": 1.8, "lines.markersize": 5,
    "mathtext.fontset": "dejavusans",
}  # fmt: skip


def style() -> None:
    """Set the book's figure style; in a notebook also a double-resolution canvas of fixed size."""
    plt.rcParams.update(RC)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("retina", bbox_inches=None)


def panels(rows: int, columns: int, height: float = 1.9, width: float = 7.0):
    """A figure with a grid of axes, `height` inches a row; returns (figure, array of axes of shape (rows, columns))."""
    return plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False)


def cloud(ax, points, name: str = "data", frame: tuple[float, float] = FRAME, color: str | None = None, count: bool = True) -> int:
    """Scatter points (n, 2) in a square window, write there how many lie outside it (unless `count` is false), return that number."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"the points have shape {points.shape}; expected (n, 2), as project gives them")
    outside = int(np.sum(~np.all((points >= frame[0]) & (points <= frame[1]), axis=-1)))
    ax.scatter(*points.T, s=1.2, alpha=0.35, linewidths=0, color=color or COLORS[name], rasterized=True)
    ax.set(xlim=frame, ylim=frame, aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="#BBBBBB")
    if outside and count:
        note = f"{100 * outside / len(points):.0f} % outside" if 200 * outside >= len(points) else f"{outside} outside"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        ax.text(0.97, 0.03, note, transform=ax.transAxes, ha="right", va="bottom", fontsize=9, bbox=box)
    return outside


def line(ax, xs, ys, name: str, label: str | None = None, **kwargs) -> None:
    """A line in the colour of `name`; rows of a 2-D `ys` are seeds, drawn as their mean with a band from least to greatest."""
    ys = np.atleast_2d(np.asarray(ys))
    style_ = {"color": COLORS[name], "marker": MARKERS[name], "label": LABELS[name] if label is None else label} | kwargs
    ax.plot(xs, ys.mean(0), **style_)
    if len(ys) > 1:
        ax.fill_between(xs, ys.min(0), ys.max(0), color=style_["color"], alpha=0.2, linewidth=0)


def source(thing):
    """The source code of a function or class as a Markdown block: the book shows the library, never a copy of it."""
    from IPython.display import Markdown

    return Markdown(f"```python\n{inspect.getsource(thing)}```")


def table(header: list[str], rows: list[list]):
    """A Markdown table of strings."""
    from IPython.display import Markdown

    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def spread(values, digits: int = 3) -> str:
    """'≈ mean ± band' of a number measured with several seeds; the band is two standard deviations, at least a tenth of the mean.

    Both are printed to the band's second significant digit, and to `digits` decimals at most.
    """
    if np.size(values) < 2:
        raise ValueError(f"there are {np.size(values)} values; expected at least 2, one for each seed")
    mean, band = np.mean(values), 2 * np.std(values, ddof=1)
    band = max(band, abs(mean) / 10, 10.0**-digits)
    decimals = int(np.clip(1 - np.floor(np.log10(band)), 0, digits))
    return f"≈ {mean:.{decimals}f} ± {band:.{decimals}f}"
