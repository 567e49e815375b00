"""The first cell of every chapter, in an environment that holds what Colab ships, without a network.

The environment holds jax, numpy and the other packages of Colab's image that jitlib uses; what Colab lacks (equinox and
its small dependencies, scikit-dimension) and jitlib itself are offered to pip as wheels in a folder, as the package index would.
"""
import importlib.metadata as metadata
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import jupytext
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(ROOT.glob("book/[0-9][0-9]_*.md"))
SHIPPED = ("jax", "jaxlib", "numpy", "scipy", "optax", "scikit-learn", "matplotlib", "numba", "tqdm", "ipython", "matplotlib-inline", "pip")
LACKING = ("equinox", "jaxtyping", "wadler-lindig", "scikit-dimension")


def closure(names):
    """The installed distributions that the named ones need, by name."""
    found, todo = {}, list(names)
    while todo:
        dist = metadata.distribution(todo.pop())
        name = re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
        if name not in found:
            found[name] = dist
            needs = map(Requirement, dist.requires or ())
            todo += [r.name for r in needs if not r.marker or r.marker.evaluate({"extra": ""})]
    return found


def files_of(dist):
    """A distribution's files inside site-packages."""
    return [f for f in dist.files if ".." not in f.parts and "__pycache__" not in f.parts]


def wheel_of(dist, folder):
    """A pure-Python distribution as installed here, packed again."""
    name = dist.metadata["Name"].replace("-", "_")
    with zipfile.ZipFile(folder / f"{name}-{dist.version}-py3-none-any.whl", "w") as wheel:
        for file in files_of(dist):
            if file.name not in ("INSTALLER", "REQUESTED", "direct_url.json"):
                wheel.write(file.locate(), str(file))


def pip_wheel(source, folder):
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source], check=True)
    return next(folder.glob("jitlib-*.whl"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """(python, environment variables) of a stand-in for Colab that lacks jitlib."""
    top = ROOT / "_build" / "colab"            # on the disk of .venv, so that files can be linked instead of copied
    shutil.rmtree(top, ignore_errors=True)
    venv.create(top / "env", with_pip=False)
    (packages,) = (top / "env").glob("lib/python*/site-packages")
    for dist in closure(SHIPPED).values():
        for file in files_of(dist):
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(file.locate(), target)
    wheels = top / "wheels"
    wheels.mkdir()
    for name in LACKING:
        wheel_of(metadata.distribution(name), wheels)
    shutil.copytree(ROOT / "jitlib", top / "source", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    spec = pip_wheel(top / "source", top)
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    yield top / "env" / "bin" / "python", keep | {"JITLIB_SPEC": str(spec), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "MPLBACKEND": "agg"}
    shutil.rmtree(top)


def code(md):
    return [c.source for c in jupytext.read(md).cells if c.cell_type == "code"]


def execute(python, variables, source):
    return subprocess.run([python, "-I", "-c", source], env=variables, capture_output=True, text=True)


def test_every_chapter_begins_with_the_same_cell():
    assert len({code(md)[0] for md in CHAPTERS}) == 1


def test_a_library_that_wants_another_jax_is_refused_and_jax_stays(colab, tmp_path):
    python, variables = colab
    shutil.copytree(ROOT / "jitlib", tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    project = tmp_path / "source" / "pyproject.toml"
    project.write_text(re.sub(r"jax>=[\d.]+", "jax>=99", project.read_text()))
    spec = pip_wheel(tmp_path / "source", tmp_path)
    done = execute(python, variables | {"JITLIB_SPEC": str(spec)}, code(CHAPTERS[0])[0])
    assert done.returncode != 0 and "jax" in done.stderr
    assert execute(python, variables, "import jitlib").returncode != 0


def test_the_first_cell_makes_jitlib_importable_and_leaves_jax_alone(colab):
    python, variables = colab
    versions = "import importlib.metadata as m\nprint([m.version(p) for p in ('jax', 'jaxlib', 'numpy')])\n"
    lacking = execute(python, variables, "import jitlib")
    assert lacking.returncode != 0 and "No module named 'jitlib'" in lacking.stderr
    done = execute(python, variables, versions + code(CHAPTERS[1])[0] + "\n" + versions)
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before == after
    whole = execute(python, variables, "\n".join(code(CHAPTERS[1])))
    assert whole.returncode == 0, whole.stderr


def test_the_first_cell_does_nothing_where_jitlib_is_there(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    exec(compile(code(CHAPTERS[0])[0], "first cell", "exec"), {})
