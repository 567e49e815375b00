"""The mutation run can start: each fault that it plants has its place in the code as it is now, and meets the tests that `make units` runs."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "tests" / "mutants"), str(ROOT / "tests" / "matrix")]
import matrix  # noqa: E402
import mutants  # noqa: E402
from chapters import CODE, FILES  # noqa: E402
from execute import code_cells, select, source  # noqa: E402
from execute import chapters as every_chapter  # noqa: E402
from picked import PICKED  # noqa: E402


@pytest.mark.parametrize("module", sorted({module for module, *_ in PICKED}))
def test_faults_of_the_library(module):
    text = (ROOT / "jitlib" / f"{module}.py").read_text(encoding="utf8")
    assert [old for name, old, new in PICKED if name == module and (text.count(old) != 1 or old == new)] == []


def test_faults_of_the_chapters():
    for number, old, new in CODE:
        (md,) = select([str(number)], every_chapter())
        assert sum(cell.source.count(old) for cell in code_cells(source(md))) == 1 and old != new, (number, old)
    for stem, old, new in FILES:
        assert old in (ROOT / "book" / f"{stem}.md").read_text(encoding="utf8") and old != new, (stem, old)


def test_a_fault_meets_the_tests_that_make_units_and_the_matrix_run():
    assert sorted(f"tests/test_{name}.py" for name in mutants.TESTS) == sorted(matrix.UNITS)
    assert all((ROOT / file).is_file() for file in matrix.UNITS)
