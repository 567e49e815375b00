"""Run the chapters whose inputs changed, from their Markdown, and store the outputs in the notebooks beside them.

    python book/execute.py             every stale chapter
    python book/execute.py 05          chapter 5, if it is stale
    python book/execute.py --force 05  chapter 5, stale or not
    python book/execute.py --check     only list the stale chapters; exit status 1 if there are any

A notebook carries a hash of what made its outputs (the chapter's code cells, what they import of jitlib, requirements.txt), so staleness is
a matter of contents: file times, which a clone or a checkout sets anew, play no part.  Where only the prose changed, the
notebook takes the new prose and keeps its outputs.  A file in a notebook's place that this script did not write, or that is
damaged, is an error and stays as it is, unless --force replaces it.
"""
import argparse
import base64
import hashlib
import io
import modulefinder
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

from compare import without_bars

BOOK = Path(__file__).resolve().parent
CELL_TIMEOUT = 1800             # seconds; the longest cell takes four to ten minutes, and a slower processor must not fail by it


class ChapterFailed(Exception):
    """A chapter could not be run to its end; the message names the cell."""


class NotOurs(Exception):
    """The file in the place of a chapter's notebook is damaged, or another's; the message names it and says what to do."""


class ThisPython(KernelSpecManager):
    """The kernel is the Python that runs this script, whatever kernels the machine has registered."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


def chapters(book=BOOK):
    """Every chapter's .md, in order."""
    return sorted(book.glob("[0-9][0-9]_*.md"))


def source(md):
    """The notebook of a chapter's .md, not run; cells get stable ids, for small diffs."""
    notebook = jupytext.read(md)
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number:03d}"
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def library_of(code, root):
    """The files of jitlib that `code` imports, directly or through one another."""
    finder = modulefinder.ModuleFinder([str(root)])
    try:
        finder.scan_code(compile(code, "chapter", "exec"), finder.add_module("__main__"))
    except SyntaxError:                                       # it depends on what it was meant to say; running it will tell
        return sorted(root.glob("jitlib/*.py"))
    return sorted(Path(module.__file__) for name, module in finder.modules.items() if name.split(".")[0] == "jitlib")


def inputs_hash(md):
    """sha256 of everything a chapter's outputs depend on: its code cells, what they import of the library, the pinned packages."""
    root = md.resolve().parent.parent
    code = [cell.source for cell in code_cells(source(md))]
    parts = {"code": "\0".join(code).encode()}
    for path in [*library_of("\n".join(code), root), root / "requirements.txt"]:
        parts[path.relative_to(root).as_posix()] = path.read_bytes()
    digest = hashlib.sha256()
    for name, content in parts.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def stored(md):
    """The notebook beside `md`, or None where there is none.  Raises NotOurs where a file is there that this script did not write."""
    path = md.with_suffix(".ipynb")
    if not path.exists():
        return None
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        why = "" if "inputs" in notebook.metadata.get("jit_book", {}) else "it carries no hash of its inputs"
    except Exception as error:  # nbformat fails in as many ways as a file can be wrong
        why = f"{type(error).__name__}: {error}".splitlines()[0]
    if why:
        raise NotOurs(f"{path.name} is not a notebook that execute.py wrote, or it is damaged ({why}); expected the outputs of {md.name}. "
                      f"Move it away, or replace it: make execute CHAPTER={md.name[:2]}")
    return notebook


def is_stale(md):
    """Whether the notebook beside `md` is missing or made from other inputs."""
    notebook = stored(md)
    return notebook is None or notebook.metadata.get("jit_book", {}).get("inputs") != inputs_hash(md)


def in_step(md):
    """Whether the notebook beside `md` has the same cells."""
    content = lambda notebook: [(c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]
    notebook = stored(md)
    return notebook is not None and content(notebook) == content(source(md))


def with_new_prose(md):
    """The chapter's new text around the stored outputs; for a chapter that is not stale."""
    old, notebook = stored(md), source(md)
    for cell, run_before in zip(code_cells(notebook), code_cells(old), strict=True):
        cell.outputs, cell.execution_count = run_before.outputs, run_before.execution_count
    notebook.metadata = old.metadata
    nbformat.validate(notebook)
    return notebook


def without_text(png):
    """A figure (base64) without what Matplotlib writes beside its pixels, its own version: that would be a change in every notebook."""
    picture = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(picture, "PNG", optimize=True)
    return base64.b64encode(picture.getvalue()).decode()


def run(md, progress=lambda text: None):
    """Execute one chapter and return the notebook; `progress` is told before each cell."""
    hashed, start = inputs_hash(md), time.perf_counter()      # before the run: an edit made meanwhile leaves it stale
    notebook = source(md)
    count, now = len(notebook.cells), {"number": 0, "source": ""}

    def started(cell, cell_index):
        now.update(number=cell_index + 1, source=(cell.source.strip().splitlines() or [""])[0])
        progress(f"{md.stem}: cell {now['number']}/{count}")

    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython(), transport_encryption="required")
    client = NotebookClient(notebook, km=manager, timeout=CELL_TIMEOUT, record_timing=False, coalesce_streams=True,
                            resources={"metadata": {"path": str(md.parent)}}, on_cell_start=started)
    try:
        client.execute(cleanup_kc=True)  # nbclient keeps the kernel of a manager that it did not make
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        if isinstance(error, CellExecutionError):
            why = f"{error.ename}: {error.evalue}"
        else:
            why = "the kernel died" if isinstance(error, DeadKernelError) else f"no end within {CELL_TIMEOUT} s"
        raise ChapterFailed(f"{md.stem}, cell {now['number']} of {count} ({now['source']}): {why}") from None

    for cell in code_cells(notebook):
        cell.outputs = [nbformat.from_dict(out) for out in without_bars(cell.outputs)]
        for out in cell.outputs:
            if "image/png" in out.get("data", {}):
                out.data["image/png"] = without_text(out.data["image/png"])
    notebook.metadata["language_info"].pop("version", None)   # 3.11.7 and 3.11.8 store the same file
    notebook.metadata["jupytext"].pop("text_representation", None)
    notebook.metadata["jit_book"] = {"inputs": hashed, "seconds": round(time.perf_counter() - start), "cores": os.cpu_count()}
    nbformat.validate(notebook)
    return notebook


def write(notebook, path):
    """Replace `path` in one step: whoever reads it sees the old notebook or the new one, never a part."""
    temporary = path.with_suffix(".ipynb.tmp")
    try:
        with open(temporary, "w", encoding="utf8", newline="\n") as file:
            file.write(nbformat.writes(notebook) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def select(numbers, every):
    """The chapters of the given numbers ('5' or '05'), all of them if none is given."""
    by_number = {int(md.name[:2]): md for md in every}
    wrong = [n for n in numbers if not n.isdecimal() or int(n) not in by_number]
    if wrong:
        there = ", ".join(f"{n:02d}" for n in by_number) or "none"
        raise SystemExit(f"no chapter {', '.join(wrong)}; there are: {there}")
    return [by_number[n] for n in sorted({int(n) for n in numbers})] if numbers else every


def show(text):
    """On a terminal one line that is written over; elsewhere a line each."""
    print(f"\r\x1b[K{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)


def main(argv=None, book=BOOK):
    parser = argparse.ArgumentParser(description="Run the chapters whose inputs changed and store their outputs.")
    parser.add_argument("chapters", nargs="*", metavar="NN", help="chapter numbers; all chapters if none is given")
    parser.add_argument("--force", action="store_true", help="run them even if nothing changed")
    parser.add_argument("--check", action="store_true", help="only list the stale chapters; status 1 if there are any")
    options = parser.parse_args(argv)
    chosen = select(options.chapters, chapters(book))
    try:
        todo = [md for md in chosen if options.force or is_stale(md)]
        prose = [md for md in chosen if md not in todo and not in_step(md)]
    except NotOurs as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    if options.check:
        for md in [*todo, *prose]:
            print(f"stale: {md.stem}" if md in todo else f"text out of step: {md.stem}")
        return 1 if todo or prose else 0
    for md in prose:
        write(with_new_prose(md), md.with_suffix(".ipynb"))
        print(f"new text, same outputs: {md.stem}")

    seconds = {}
    try:
        for md in todo:
            start = time.perf_counter()
            write(run(md, show), md.with_suffix(".ipynb"))
            seconds[md.stem] = time.perf_counter() - start
            show("")
    except ChapterFailed as failure:
        show("")
        print(f"failed: {failure}\nits notebook was left as it was", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        show("")
        print(f"interrupted in {md.stem}; its notebook was left as it was", file=sys.stderr)
        return 130
    for stem, took in seconds.items():
        print(f"{took:7.1f} s  {stem}")
    print(f"{len(seconds)} of {len(chosen)} chapters run, the others were up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
