"""The chapters as files: pairs in step, run from top to bottom, portable text, clean outputs, one repository address."""
import ast
import base64
import io
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from PIL import Image, PngImagePlugin

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
from execute import chapters, is_stale  # noqa: E402

CHAPTERS = chapters()
URL = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]["url"]
RAW = re.compile(r"^\s*(?:```|:::)\{|\{(?:eq|ref|cite\w*|numref|doc)[\w:]*\}`|^\([\w:-]+\)=|\$\$ *\([\w:-]+\)", re.M)
LEAK = re.compile(r"/(?:home|root|tmp|work|Users)/|\d+%\|.*\[|Warning:|Traceback|0x[0-9a-f]{8}")


def notebook(md):
    return nbformat.read(md.with_suffix(".ipynb"), as_version=4)


def cells(nb):
    return [(c.cell_type, c.source, dict(c.metadata)) for c in nb.cells]


def raw_markup(text):
    return RAW.findall(text)


def leaks(outputs):
    return LEAK.findall("".join(str(o.get("text", "")) + str({k: v for k, v in o.get("data", {}).items() if "image" not in k}) for o in outputs))


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_pair_is_in_step_and_fresh_and_run_in_order(md):
    nb = notebook(md)
    assert cells(jupytext.read(md)) == cells(nb)
    assert not is_stale(md)
    counts = [c.execution_count for c in nb.cells if c.cell_type == "code" and c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_text_is_portable_and_has_its_parts(md):
    nb = notebook(md)
    text = "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    assert raw_markup(text) == []
    for part in ("> **Verdict.**", "> **Takeaway.**", "## What this chapter does not show", "## Exercises", "## Further reading"):
        assert text.count(part) == 1, part
    assert text.count("<details><summary>Solution</summary>") == 3
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert f"git+{URL}#subdirectory=jitlib" in code[0].source and "remove-cell" in code[0].metadata.tags
    assert max(c.source.count("\n") for c in code) < 40


def picture_text(png):
    """What is written in a PNG (base64) beside its pixels."""
    return Image.open(io.BytesIO(base64.b64decode(png))).text


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_figures_have_alt_text_and_outputs_carry_nothing_of_the_machine(md):
    for cell in notebook(md).cells:
        outputs = cell.get("outputs", [])
        assert leaks(outputs) == []
        figures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        assert all(picture_text(png) == {} for png in figures), "a figure carries the version of what drew it"
        if figures:
            assert cell.metadata["mystnb"]["image"]["alt"]


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_a_notebook_carries_no_more_than_it_needs(md):
    """What made the outputs and how long that took, for the page of running times; no version, path or user."""
    nb = notebook(md)
    assert set(nb.metadata) == {"jit_book", "jupytext", "kernelspec", "language_info"} and set(nb.metadata["jit_book"]) == {"inputs", "seconds", "cores"}
    assert nb.metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"} and "version" not in nb.metadata["language_info"]
    assert {key for cell in nb.cells for key in cell.metadata} <= {"tags", "mystnb"}


def test_every_equation_reference_has_exactly_one_tag():
    tags, references = [], set()
    for md in CHAPTERS:
        for cell in notebook(md).cells:
            if cell.cell_type == "markdown":
                tags += re.findall(r"\\tag\{(\d+\.\d+)\}", cell.source)
                references |= set(re.findall(r"\((\d+\.\d+)\)", re.sub(r"\$\$.*?\$\$|```.*?```", "", cell.source, flags=re.S)))
    assert len(tags) == len(set(tags)) and references <= set(tags), references - set(tags)


def test_references_and_citations_hold_together():
    link = re.compile(r"https://(?:arxiv\.org|doi\.org)/[\w./-]*\w")
    cited = {u for md in [*CHAPTERS, ROOT / "book/index.md"] for u in link.findall(md.read_text(encoding="utf8"))}
    references = (ROOT / "book/references.md").read_text(encoding="utf8")
    assert cited == set(link.findall(references))
    shown = re.findall(r"\[(?:arXiv|doi):([^]]+)\]\(([^)]+)\)", references)
    assert len(shown) == len(cited) and all(address.endswith(f"/{name}") for name, address in shown)


def test_one_repository_address():
    for path in [ROOT / "README.md", ROOT / "CITATION.cff", ROOT / "book/index.md", *CHAPTERS]:
        assert URL in path.read_text(encoding="utf8"), path
        assert {u for u in re.findall(r"https://github\.com/[\w-]+/jit[\w-]*", path.read_text(encoding="utf8"))} == {URL}


def test_the_pages_live_beside_the_repository():
    owner, name = URL.removeprefix("https://github.com/").split("/")
    assert yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["html"]["baseurl"] == f"https://{owner}.github.io/{name}/"


def lax(workflow):
    """What is wrong with the text of a workflow: rights on top, an action that is not pinned to a commit, a cache, a job without an end."""
    told = yaml.safe_load(workflow)
    found = [] if told["permissions"] == {} else ["permissions"]
    found += [action for action in re.findall(r"uses:\s*(\S+)", workflow) if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)]
    found += [word for word in ("pull_request_target", "cache:", "actions/cache") if word in workflow]
    return found + [name for name, job in told["jobs"].items() if "timeout-minutes" not in job or "permissions" not in job]


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda p: p.stem)
def test_workflows_have_the_rights_their_jobs_name_and_pinned_actions(path):
    assert lax(path.read_text(encoding="utf8")) == []


def wandering(code):
    """The lines with a legend that Matplotlib places where the data leave room: a point moved a little can send it across the figure."""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "legend")
    return [call.lineno for call in calls if all(word.arg != "loc" or ast.unparse(word.value) == "'best'" for word in call.keywords)]


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_every_legend_has_a_fixed_place(md):
    for cell in notebook(md).cells:
        assert cell.cell_type != "code" or wandering(cell.source) == [], cell.source


def test_the_checks_can_fail():
    assert wandering("ax.legend()\nax.legend(fontsize=9, loc='best')\nax.legend(loc='upper left')") == [1, 2]
    good = "permissions: {}\njobs:\n  a:\n    timeout-minutes: 5\n    permissions: {}\n    steps:\n      - uses: a/b@" + 40 * "0"
    assert lax(good) == [] and lax(good.replace("{}", "{contents: write}", 1)) == ["permissions"] and lax(good.replace(40 * "0", "v4")) == ["a/b@v4"]
    assert lax(good.replace("timeout", "time")) == ["a"] and lax(good + "\n        cache: pip") == ["cache:"]
    noted, note = io.BytesIO(), PngImagePlugin.PngInfo()
    note.add_text("Software", "a version")
    Image.new("L", (2, 2)).save(noted, "PNG", pnginfo=note)
    assert picture_text(base64.b64encode(noted.getvalue())) == {"Software": "a version"}
    assert raw_markup("```{note}\nx\n```") and raw_markup("see {eq}`a`") and not raw_markup("plain (2.1)")
    assert leaks([{"text": "/home/me/x"}]) and leaks([{"text": "UserWarning: x"}]) and not leaks([{"text": "fine"}])


def captions(nb):
    """(kind, number) of every caption, in order, and how many code cells show a figure without a caption in the next cell."""
    found, bare = [], 0
    for cell, after in zip(nb.cells, [*nb.cells[1:], None]):
        if cell.cell_type == "markdown":
            found += re.findall(r"^\*\*(Figure|Table) (\d+\.\d+)\.\*\*", cell.source, re.M)
        elif any("image/png" in o.get("data", {}) for o in cell.outputs):
            bare += after is None or not after.source.startswith("**Figure ")
    return found, bare


def test_figures_and_tables_are_numbered_in_order_captioned_and_mentioned_rightly():
    known = set()
    for md in CHAPTERS:
        found, bare = captions(notebook(md))
        assert bare == 0, md.stem
        for kind in ("Figure", "Table"):
            numbers = [number for k, number in found if k == kind]
            assert numbers == [f"{int(md.name[:2])}.{i}" for i in range(1, len(numbers) + 1)], md.stem
        known |= set(found)
    for md in [*CHAPTERS, ROOT / "book/index.md"]:
        mentioned = set(re.findall(r"(Figure|Table) (\d+\.\d+)", md.read_text(encoding="utf8")))
        assert mentioned <= known, mentioned - known


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_no_cell_escapes_the_regression_but_timings(md):
    for cell in notebook(md).cells:
        tags = set(cell.metadata.get("tags", ()))
        assert not tags & {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"}
        if "nbval-ignore-output" in tags:
            assert "time.perf_counter()" in cell.source, "only a timing may vary"
