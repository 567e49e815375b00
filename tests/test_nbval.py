"""nbval with the book's conftest.py: a sound notebook passes, and each planted fault fails."""
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

BOOK = Path(__file__).parents[1] / "book"
sys.path.insert(0, str(BOOK))
from execute import ThisPython  # noqa: E402

DOT = "from PIL import Image\nImage.new('RGB', (320, 200), {!r})"
SOUND = ["print('≈ 1.000')", DOT.format("teal")]


FAULTS = {
    "sound": lambda cells: None,
    "number_within_its_band": lambda cells: cells[0].outputs[0].update(text="≈ 1.010\n"),
    "number": lambda cells: cells[0].outputs[0].update(text="≈ 1.100\n"),
    "text": lambda cells: cells[0].outputs[0].update(text="= 1.000\n"),
    "figure": lambda cells: cells[1].update(source=DOT.format("orange")),
    "missing_output": lambda cells: cells[0].update(outputs=[]),
    "cell_not_run": lambda cells: cells[1].update(execution_count=None, outputs=[]),
    "error": lambda cells: cells[1].update(source="1 / 0", outputs=[]),
    "dead_kernel": lambda cells: cells[0].update(source="import os; os._exit(1)", outputs=[]),
    "no_code": lambda cells: cells.clear(),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """For each notebook, the verdicts of its cells (or of its collection)."""
    folder = tmp_path_factory.mktemp("regression")
    for name in ("conftest.py", "compare.py"):
        shutil.copy(BOOK / name, folder)
    executed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in SOUND])
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    NotebookClient(executed, km=manager, record_timing=False).execute()
    for name, plant in FAULTS.items():
        notebook = nbformat.reads(nbformat.writes(executed), 4)
        plant(notebook.cells)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    report = folder / "report.xml"
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-cell-timeout=20", "--continue-on-collection-errors", f"--rootdir={folder}", f"--junitxml={report}", folder],
                          capture_output=True, text=True)
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [child.tag for child in case if child.tag in ("failure", "error")] or [c.tag for c in case if c.tag == "skipped"]
        name = next(n for n in sorted(FAULTS, key=len, reverse=True) if n in (case.get("classname") + case.get("name")))
        found.setdefault(name, []).extend(bad or ["passed"])
    return found, done.stdout


@pytest.mark.parametrize("name", ["sound", "number_within_its_band"])
def test_sound_notebook_passes(outcome, name):
    assert outcome[0][name] == ["passed", "passed"], outcome[1]


@pytest.mark.parametrize("name", [f for f in FAULTS if f not in ("sound", "number_within_its_band")])
def test_fault_fails(outcome, name):
    assert set(outcome[0][name]) & {"failure", "error"}, outcome[1]


def test_nothing_is_excused(outcome):
    assert "skipped" not in sum(outcome[0].values(), []), outcome[1]
