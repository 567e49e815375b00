"""The chapters that have a quick switch, with it set, run to their end without an error: a row of `make matrix`."""
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

sys.path.insert(0, str(Path(__file__).parents[2] / "book"))
from execute import CELL_TIMEOUT, ThisPython, chapters, code_cells, source  # noqa: E402

OFF, ON = "\nquick = False  # True:", "\nquick = True  #"
SWEEPS = [md for md in chapters() if OFF in md.read_text(encoding="utf8")]


@pytest.mark.parametrize("md", SWEEPS, ids=lambda md: md.stem)
def test_quick(md):
    notebook = source(md)
    for cell in code_cells(notebook):
        cell.source = ("\n" + cell.source).replace(OFF, ON).removeprefix("\n")
    assert sum(ON in "\n" + cell.source for cell in code_cells(notebook)) == 1
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    NotebookClient(notebook, km=manager, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(md.parent)}}).execute()
    nbformat.validate(notebook)
