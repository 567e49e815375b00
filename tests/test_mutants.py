"""The mutation run can start: each fault that it plants has its place in the code as it is now."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "tests" / "mutants")]
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
