"""The generated pages are what the chapters and the library make of them."""
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
    assert [number for md in chapters() for number, _ in backmatter.equations(md)] == list(backmatter.FORMULAS)
    for name in backmatter.FORMULAS.values():
        if " " not in name:
            thing, line = backmatter.found(name)
            source = (backmatter.ROOT / "jitlib" / f"{name.split('.')[0]}.py").read_text(encoding="utf8").splitlines()
            assert name.split(".")[-1] in "".join(source[line - 1 : line + 3])


def test_a_name_that_is_gone_is_seen():
    with pytest.raises(AttributeError):
        backmatter.found("target.conversion")


def test_the_library_page_names_everything_public_and_shows_no_address_in_memory():
    import jitlib

    page = backmatter.api()
    assert "0x" not in page and "<function" not in page
    for name in vars(jitlib):
        thing = getattr(jitlib, name)
        if not name.startswith("_") and callable(thing):
            assert f"### {name}\n" in page, name
