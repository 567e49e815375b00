"""The generated pages are what the chapters and the library make of them."""
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "book"))
import backmatter  # noqa: E402
from execute import chapters  # noqa: E402


@pytest.mark.parametrize("name", backmatter.PAGES)
def test_page_is_up_to_date(name):
    assert (backmatter.BOOK / name).read_text(encoding="utf8") == backmatter.PAGES[name](), "run: python book/backmatter.py"


def test_every_equation_has_its_line_and_no_line_is_left_over():
    tags = re.findall(r"\\tag\{([\d.]+)\}", "".join(md.read_text(encoding="utf8") for md in chapters()))
    assert [number for md in chapters() for number, _ in backmatter.equations(md)] == tags == list(backmatter.FORMULAS)
    for name in backmatter.FORMULAS.values():
        if " " not in name:
            thing, line = backmatter.found(name)
            source = (backmatter.ROOT / "jitlib" / f"{name.split('.')[0]}.py").read_text(encoding="utf8").splitlines()
            last = name.split(".")[-1]
            assert re.match(rf"\s*(def|class) {last}\b|{last} =", source[line - 1]), name


def test_a_name_that_is_gone_is_seen():
    with pytest.raises(AttributeError):
        backmatter.found("target.conversion")


def test_the_library_page_names_everything_public_and_shows_no_address_in_memory():
    import jitlib

    folder = Path(jitlib.__file__).parent
    assert set(backmatter.MODULES) == {path.stem for path in folder.glob("*.py")} - {"__init__", "check"}
    page = backmatter.api()
    assert "None\n```" not in page  # everything public has a text
    assert "0x" not in page and "<function" not in page
    for name in vars(jitlib):
        thing = getattr(jitlib, name)
        if not name.startswith("_") and callable(thing):
            assert f"### {name}\n" in page, name


def test_the_tables_of_the_page_about_tests_are_those_of_the_last_runs():
    """Of the matrix every row, of the faults in the library every count: the two memories are committed with the page."""
    page, tests = (backmatter.BOOK / "testing.md").read_text(encoding="utf8"), Path(__file__).parent
    row_names = {"two": "two threads", "one": "one thread", "sse42": "SSE4.2", "avx": "up to AVX", "avx2": "AVX2", "x64": "double precision", "py311": "Python 3.11",
                 "py312": "Python 3.12", "py313": "Python 3.13", "oldest": "oldest", "colab": "Colab", "newest": "newest"}  # fmt: skip
    for name, row in json.loads((tests / "matrix" / "report.json").read_text(encoding="utf8")).items():
        (python, jax, _, _, numpy, _), parts = row["versions"], row["parts"]
        chapters_ = sum(part != "units" for part in parts)
        passed, failed = (sum(count(part) for part in parts.values()) for count in (lambda p: p["passed"], lambda p: len(p["failed"])))
        if name in row_names:
            done = f"all {len(chapters())}" if chapters_ == len(chapters()) else str(chapters_) if chapters_ else "unit tests only"
            line = rf"^\| [^|]*{row_names[name]}[^|]* \| {python} \| {jax} \| {numpy} \| {done} \| {passed} \| {failed} \|$"
            assert re.search(line, page, re.M), name
    faults = json.loads((tests / "mutants" / "done.json").read_text(encoding="utf8"))
    counted = lambda name: [killed for what, (_, killed, *_) in faults.items() if what.startswith(name)]
    for name, line in {"picked": r"picked by hand \| [\w, ]+", **{f"general, {m}": f"general \\| {m}" for m in ("target", "loss", "sample", "path", "times", "metrics")}}.items():
        outcomes = counted(name)
        assert re.search(rf"\| {line} \| {len(outcomes)} \| {sum(outcomes)} \| {len(outcomes) - sum(outcomes)} \|", page), name
