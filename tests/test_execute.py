"""execute.py: what makes a chapter stale, and that nothing but a whole run replaces a notebook."""
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "book"))
import execute  # noqa: E402

CHAPTER = """---
jupytext:
  formats: ipynb,md:myst
kernelspec:
  display_name: Python 3
  name: python3
---

# A chapter

```{code-cell} ipython3
print(6 * 7)
def never():
    import jitlib.a
```
"""


@pytest.fixture
def md(tmp_path):
    """A book of one chapter, run once."""
    (tmp_path / "jitlib").mkdir()
    (tmp_path / "jitlib" / "__init__.py").write_text("")
    (tmp_path / "jitlib" / "a.py").write_text("from jitlib import b\n")
    (tmp_path / "jitlib" / "b.py").write_text("b = 1\n")
    (tmp_path / "jitlib" / "unused.py").write_text("c = 1\n")
    (tmp_path / "requirements.txt").write_text("a==1\n")
    md = tmp_path / "book" / "01_first.md"
    md.parent.mkdir()
    md.write_text(CHAPTER)
    assert execute.main([], md.parent) == 0
    return md


def check(md):
    return execute.main(["--check"], md.parent)


def test_a_chapter_that_was_run_is_fresh_whatever_the_file_times(md):
    os.utime(md, (0, 0))
    os.utime(md.with_suffix(".ipynb"), (1, 1))
    assert check(md) == 0
    assert execute.stored(md).cells[1].outputs[0].text == "42\n"


@pytest.mark.parametrize("name", ["jitlib/__init__.py", "jitlib/a.py", "jitlib/b.py", "requirements.txt"])
def test_the_library_and_the_pins_make_a_chapter_stale(md, name, capsys):
    path = md.parents[1] / name
    path.write_text(path.read_text() + "\n")
    assert check(md) == 1 and "stale: 01_first" in capsys.readouterr().out


def test_a_module_that_the_chapter_does_not_use_leaves_it_fresh(md):
    (md.parents[1] / "jitlib" / "unused.py").write_text("c = 2\n")
    assert check(md) == 0


def test_code_that_cannot_be_read_depends_on_the_whole_library(md):
    assert [path.name for path in execute.library_of("print(", md.parents[1])] == ["__init__.py", "a.py", "b.py", "unused.py"]
    assert [path.name for path in execute.library_of("import jitlib.b", md.parents[1])] == ["__init__.py", "b.py"]


def test_new_code_makes_a_chapter_stale_and_is_run(md):
    md.write_text(CHAPTER.replace("6 * 7", "6 * 8"))
    assert check(md) == 1
    assert execute.main([], md.parent) == 0 and check(md) == 0
    assert execute.stored(md).cells[1].outputs[0].text == "48\n"


def test_new_prose_is_taken_over_without_a_run(md, monkeypatch, capsys):
    outputs = execute.stored(md).cells[1].outputs
    md.write_text(CHAPTER.replace("# A chapter", "# A chapter\n\nWith prose."))
    assert check(md) == 1 and "text out of step" in capsys.readouterr().out
    monkeypatch.setattr(execute, "run", None)
    assert execute.main([], md.parent) == 0 and check(md) == 0
    notebook = execute.stored(md)
    assert "With prose." in notebook.cells[0].source and notebook.cells[1].outputs == outputs


FOREIGN = {
    "empty": b"", "not JSON": b"not json", "cut off": b'{"cells": 1', "an object": b"{}", "a list": b"[]", "null": b"null", "bytes": b"\xff\xfe\x00",
    "cells that are none": b'{"cells": 1, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "another's": nbformat.writes(nbformat.v4.new_notebook()).encode(), "an old one": nbformat.writes(nbformat.v3.new_notebook(), 3).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_no_notebook_of_ours_is_an_error_and_stays_until_it_is_replaced_by_force(md, name, capsys):
    path = md.with_suffix(".ipynb")
    path.write_bytes(FOREIGN[name])
    for arguments in ([], ["--check"]):
        assert execute.main(arguments, md.parent) == 1
        said = capsys.readouterr().err
        assert "01_first.ipynb is not a notebook that execute.py wrote, or it is damaged (" in said and "expected the outputs of 01_first.md" in said
    assert path.read_bytes() == FOREIGN[name]
    assert execute.main(["--force"], md.parent) == 0 and check(md) == 0


def test_half_a_notebook_of_ours_is_an_error_and_stays(md, capsys):
    path = md.with_suffix(".ipynb")
    half = path.read_bytes()[:-200]
    path.write_bytes(half)
    assert execute.main([], md.parent) == 1 and "NotJSONError" in capsys.readouterr().err and path.read_bytes() == half


def test_a_missing_notebook_is_made(md):
    md.with_suffix(".ipynb").unlink()
    assert check(md) == 1 and execute.main([], md.parent) == 0 and check(md) == 0


def test_a_stored_figure_has_its_pixels_and_nothing_beside_them(md):
    md.write_text(CHAPTER.replace("print(6 * 7)", "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])\nplt.show()"))
    assert execute.main([], md.parent) == 0
    (png,) = [out.data["image/png"] for out in execute.stored(md).cells[1].outputs if "image/png" in out.get("data", {})]
    image = execute.Image.open(execute.io.BytesIO(execute.base64.b64decode(png)))
    assert image.text == {} and len(np.unique(image.convert("L"))) > 2


def test_a_failure_names_chapter_and_cell_and_leaves_the_notebook(md, capsys):
    before = md.with_suffix(".ipynb").read_bytes()
    md.write_text(CHAPTER.replace("print(6 * 7)", "1 / 0"))
    assert execute.main([], md.parent) == 1
    said = capsys.readouterr().err
    assert "01_first, cell 2 of 2 (1 / 0): ZeroDivisionError: division by zero" in said and "left as it was" in said
    assert md.with_suffix(".ipynb").read_bytes() == before


@pytest.mark.parametrize("code", ["print(1)", "1 / 0"])
def test_no_kernel_outlives_its_chapter(md, code):
    md.write_text(CHAPTER.replace("print(6 * 7)", code))
    execute.main([], md.parent)
    assert not psutil.Process().children()


def test_a_dead_kernel_is_a_failure(md, capsys):
    md.write_text(CHAPTER.replace("print(6 * 7)", "import os; os._exit(3)"))
    assert execute.main([], md.parent) == 1 and "the kernel died" in capsys.readouterr().err


def test_an_interruption_leaves_the_notebook(md, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    before = md.with_suffix(".ipynb").read_bytes()
    monkeypatch.setattr(execute, "run", interrupted)
    assert execute.main(["--force"], md.parent) == 130 and "interrupted in 01_first" in capsys.readouterr().err
    assert md.with_suffix(".ipynb").read_bytes() == before


def test_a_failing_write_leaves_the_notebook(md, monkeypatch):
    def full(*args):
        raise OSError("no space left on device")

    path = md.with_suffix(".ipynb")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        execute.write(nbformat.v4.new_notebook(), path)
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == ["01_first.ipynb", "01_first.md"]


def test_an_unknown_chapter_is_refused_with_the_list(md):
    with pytest.raises(SystemExit, match="no chapter 07; there are: 01"):
        execute.main(["07"], md.parent)
