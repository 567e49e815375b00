"""Faults in the chapters: in their code, in their stored figures, and in their files."""
import base64
import copy
import io
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from compare import differences, picture
from execute import ThisPython, chapters, code_cells, source, stored
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image, ImageChops, ImageOps

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "_build" / "mutants" / "tree"

# (chapter, text that occurs once in its code, what replaces it): the chapter is run until a cell differs
CODE = [
    (1, "+ 0.1 * jax.random.normal(other_key", "+ 0.2 * jax.random.normal(other_key"),
    (1, "right.loglog(np.arange(1, D + 1)", "right.loglog(np.arange(3, D + 3)"),
    (1, 'color=plot.COLORS[name], ms=4)', 'color=plot.COLORS["x"], ms=4)'),
    (1, 'left.set_title("the data,', 'left.set_title("the noise,'),
    (1, "edge = (1 + np.array([-1, 1]) * np.sqrt(D / len(x))) ** 2", "edge = (1 + np.array([-1, 1]) * np.sqrt(D / len(x)))"),
    (1, "shift = jnp.array([0.3, -0.4])", "shift = jnp.array([0.3, -0.5])"),
    (2, 'title=f"$t = {time}$", xlabel', 'title=f"$t = {1 - time}$", xlabel'),
    (2, "s = np.array([time, 1 - time])", "s = np.array([1 - time, time])"),
    (2, 'left.set(xlabel="$t$"', 'left.set(xlabel="$D$"'),
    (2, "np.abs(1 / determinant(target, time))", "np.abs(determinant(target, time))"),
    (2, 'for name, gap, size in [("x", "$1 - t$", 8), ("eps", "$t$", 4)]', 'for name, gap, size in [("eps", "$1 - t$", 8), ("x", "$t$", 4)]'),
    (3, "ax.set(ylim=(1e-3, 1e5)", "ax.set(ylim=(1e-2, 1e5)"),
    (3, 'ylabel="share of the weight before $t$"', 'ylabel="share of the weight after $t$"'),
    (3, "y_hat = y + 0.3 * wrong", "y_hat = y_ = y * 1.01"),
    (4, "zip(axes[0], (0.1, 0.4, 0.7, 0.9))", "zip(axes[0], (0.2, 0.4, 0.7, 0.9))"),
    (4, "ax.errorbar(middle, mean, 2 * error", "ax.errorbar(middle + 0.05, mean, 2 * error"),
    (4, "x = gaussian.mean + (jax.random.normal", "x = (jax.random.normal"),
    (4, "for delta in (0.1, 0.2):", "for delta in (0.1, 0.3):"),
    (4, "ratio = float(high.mean()) * 64 / 2 / roll_loss", "ratio = float(high.mean()) * 32 / 2 / roll_loss"),
    (6, 'xlabel="steps $N$"', 'xlabel="steps $n$"'),
    (6, "return rms(jax.jit(jax.vmap(solve))(z0) - exact)", "return rms(jax.jit(jax.vmap(solve))(z0) - exact) * 1.5"),
    (6, "zip(errors.items(), (\"#7B4FA3\", \"#B8860B\")", "zip(errors.items(), (\"#B8860B\", \"#7B4FA3\")"),
    (5, "zip(jax.random.split(key, num_steps), warmup_cosine(peak, num_steps))", "zip(jax.random.split(key, num_steps)[::-1], warmup_cosine(peak, num_steps))"),
    (5, "history.append(value)", "history.append(2 * value)"),
    (9, "narrow = lambda z, t: kept @ (kept.T @ ideal(z, t))", "narrow = lambda z, t: kept @ (kept.T @ z)"),
    (9, "bound = 1 - h / D", "bound = 1 - (h - 2) / D"),
    (9, "blind = (D - h + np.trace(S)) / D", "blind = (D - h - np.trace(S)) / D"),
    (9, "- (c * Phi + phi) ** 2)", "- (c * Phi - phi) ** 2)"),
    (10, "wrapped = Skip(net, lambda t: -1 / (1 - t)", "wrapped = Skip(net, lambda t: 1 / (1 - t)"),
    (11, "np.cumsum(eigenvalues) / eigenvalues.sum(), share) + 1", "np.cumsum(eigenvalues) / eigenvalues.sum(), share)"),
    (11, 'row[0].set_ylabel(f"{p} × {p}")', 'row[0].set_ylabel(f"{p} × {2 * p}")'),
    (11, "(e[h:].sum() + len(e) - h) / len(e)", "(e[h:].sum() + len(e) + h) / len(e)"),
    (11, "return weight * e[h:].sum()", "return weight * e[:h].sum()"),
    (11, "z = interpolate(fresh,", "z = interpolate(known[:3000],"),
    (12, "wanted = float((known.points[:600] ** 2).mean()) + 1", "wanted = float((known.points[:600] ** 2).mean()) + 2"),
    (12, "order = np.asarray(jax.random.permutation(split_key, 1797))", "order = np.asarray(jax.random.permutation(split_key, 1796))"),
    (13, "1 / (1 + 4 / 3 * (n - 1) * ratio / batch)", "1 / (1 + 3 / 4 * (n - 1) * ratio / batch)"),
    (13, "for batch, dash in ((256,", "for batch, dash in ((512,"),
    (13, 'ylabel="efficiency"', 'ylabel="speed-up"'),
]
# Of a chapter that trains for minutes only the cells up to this one are run, with a fault and without
LAST = {5: 11, 9: 9, 10: 6, 12: 12, 13: 17}

# What may be wrong with a whole figure: each is tried on every figure of every chapter
FIGURES = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "24 pixels to the right": lambda image: ImageChops.offset(image, 24, 0),
    "in other colours": lambda image: Image.merge("RGB", image.split()[::-1]),
}

# (file, text that occurs, what replaces its first occurrence): the tests of the files must notice
FILES = [
    ("01_thin_data_fat_noise", "about 0.015 for 10,000 points", "about 0.045 for 10,000 points"),
    ("04_what_a_perfect_network_says", "least possible loss is about 0.004", "least possible loss is about 0.008"),
    ("03_nine_losses_one_weight", "\\tag{3.2}", "\\tag{3.7}"),
    ("06_from_velocity_to_samples", "**Figure 6.2.**", "**Figure 6.3.**"),
    ("01_thin_data_fat_noise", "    alt: Left, the Swiss roll", "    alt_: Left, the Swiss roll"),
    ("02_one_line_three_names", "gaps = np.logspace(-4", "gaps = np.logspace(-5"),
    ("05_training_in_one_scan", "> **Takeaway.**", "> **Note.**"),
    ("07_the_experiment", "[Li & He 2025](https://arxiv.org/abs/2511.13720), section 3.3 and figure 2", "[Li & He 2025](https://arxiv.org/abs/2511.13721), section 3.3 and figure 2"),
    ("05_training_in_one_scan", ":tags: [hide-input]", ":tags: [hide-input, nbval-skip]"),
]


class Run:
    """A chapter in a kernel, cell by cell."""

    def __init__(self, md, edit=lambda text: text):
        self.notebook, self.old = source(md), stored(md)
        for cell in code_cells(self.notebook):
            cell.source = edit(cell.source)
        manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython(), transport_encryption="required")
        self.client = NotebookClient(self.notebook, km=manager, timeout=600, coalesce_streams=True, resources={"metadata": {"path": str(md.parent)}})

    def first_difference(self, last=None):
        """The number of the first cell whose outputs differ from the stored ones, or None; no cell after `last` is run."""
        with self.client.setup_kernel(cleanup_kc=True):  # nbclient keeps the kernel of a manager that it did not make
            for i, cell in enumerate(self.notebook.cells[: None if last is None else last + 1]):
                if cell.cell_type != "code":
                    continue
                try:
                    self.client.execute_cell(cell, i)
                except CellExecutionError:
                    return i
                if "nbval-ignore-output" not in cell.metadata.get("tags", ()):
                    if differences(cell.outputs, self.old.cells[i].outputs, cell.metadata.get("tags", ())):
                        return i
        return None


def code_mutants(by_number):
    """First every chapter without a fault, which must not differ, then every fault; two at a time, as most of a short run is one thread's."""

    def plain(number):
        return number, Run(by_number[number]).first_difference(LAST.get(number))

    def planted(fault):
        number, before, after = fault
        start, md = time.monotonic(), by_number[number]
        cell = Run(md, lambda text: text.replace(before, after)).first_difference(LAST.get(number))
        return ("code", md.stem[:2], f"`{before}` -> `{after}`", ""), cell is not None, time.monotonic() - start, "" if cell is None else f"cell {cell}"

    for number, before, _ in CODE:
        count = sum(cell.source.count(before) for cell in code_cells(source(by_number[number])))
        if count != 1:
            raise SystemExit(f"chapter {number}: {before!r} occurs {count} times; expected once")
    with ThreadPoolExecutor(2) as pool:
        for number, cell in pool.map(plain, sorted({number for number, *_ in CODE})):
            if cell is not None:
                raise SystemExit(f"chapter {number} differs at cell {cell} without any fault")
        yield from pool.map(planted, CODE)


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def figure_mutants(by_number):
    """Every figure of a chapter stored in the place of every other, and every figure spoilt as a whole."""
    for md in by_number.values():
        figures = [(cell, i) for cell in code_cells(stored(md)) for i, out in enumerate(cell.outputs) if "image/png" in out.get("data", {})]
        pngs = [cell.outputs[i]["data"]["image/png"] for cell, i in figures]
        for number, (cell, i) in enumerate(figures):
            wrong = {f"figure {other} stored for figure {number}": png for other, png in enumerate(pngs) if other != number}
            wrong |= {f"figure {number} {what}": encoded(spoil(picture(pngs[number]))) for what, spoil in FIGURES.items()}
            for what, png in wrong.items():
                outputs, start = copy.deepcopy(cell.outputs), time.monotonic()
                outputs[i]["data"]["image/png"] = png
                found = differences(cell.outputs, outputs, cell.metadata.get("tags", ()))
                yield ("figure", md.stem[:2], what, ""), bool(found), time.monotonic() - start, "compare"


def file_mutants():
    shutil.rmtree(TREE, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)

    def tests():
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "tests/test_book.py", "tests/test_prose.py"]
        done = subprocess.run(command, cwd=TREE, capture_output=True, text=True)
        return next((line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "" if not done.returncode else "error")

    if by := tests():
        raise SystemExit(f"the tests of the files fail without any fault: {by}")
    for stem, before, after in FILES:
        start, both = time.monotonic(), [TREE / "book" / f"{stem}.md", TREE / "book" / f"{stem}.ipynb"]
        old = [path.read_text(encoding="utf8") for path in both]
        if before not in old[0]:
            raise SystemExit(f"{stem}: {before!r} is not there")
        both[0].write_text(old[0].replace(before, after, 1), encoding="utf8")
        notebook = nbformat.reads(old[1], as_version=4)
        fresh = source(both[0])  # the fault in both files of the pair, as `make book` would leave it
        for cell, was in zip(code_cells(fresh), code_cells(notebook), strict=True):
            cell.outputs, cell.execution_count = was.outputs, was.execution_count
        fresh.metadata = notebook.metadata
        both[1].write_text(nbformat.writes(fresh) + "\n", encoding="utf8")
        by = tests()
        for path, text in zip(both, old):
            path.write_text(text, encoding="utf8")
        yield ("file", stem[:2], f"`{before}` -> `{after}`", ""), bool(by), time.monotonic() - start, by


def chapter_mutants():
    by_number = {int(md.name[:2]): md for md in chapters()}
    yield from file_mutants()
    yield from figure_mutants(by_number)
    yield from code_mutants(by_number)
