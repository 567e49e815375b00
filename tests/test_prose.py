"""Numbers in the text: each decimal and each percentage stands in a cell of its chapter, or prose.toml says where it comes from."""
import re
import tomllib
from pathlib import Path

import pytest

from test_book import CHAPTERS, notebook

WAIVED = tomllib.loads(Path(__file__).with_name("prose.toml").read_text(encoding="utf8"))
SKIPPED = re.compile(
    r"```.*?```|\$\$.*?\$\$|<details>.*?</details>|^---$.*?^---$|`[^`]*`|\[[^]]*\]\([^)]*\)|"  # code, displays, solutions, links
    r"\(\d+\.\d+\)|\*\*\d+\.\d+ \(|(?:[Ff]igure|[Tt]able|[Ss]ection|[Ee]xercise|[Aa]lgorithm|JAX|Python) \d+(?:\.\d+)*(?: (?:and|to) \d+\.\d+)*",
    re.S | re.M,
)
NUMBER = re.compile(r"(?<![\w.])(\d+(?:,\d{3})+|\d*\.\d+|\d+)(?:\s*(\\?%))?(?![\w])")
PLAIN = re.compile(r"\d[\d_]*\.?\d*(?:e[-+]?\d+)?|\.\d+", re.I)


def claims(text):
    """Every decimal and percentage of a text, as (what is written, its value, its sentence)."""
    found = []
    for line in SKIPPED.sub(lambda m: " " * bool(m), text).split("\n\n"):
        for m in NUMBER.finditer(line):
            if "." in m[1] or m[2]:
                sentence = re.split(r"(?<=[.!?]) ", line[: m.end()])[-1] + re.split(r"(?<=[.!?])\s", line[m.end() :])[0]
                found.append((m[0].replace("\\", ""), float(m[1].replace(",", "")), bool(m[2]), " ".join(sentence.split())))
    return found


def values(nb):
    """All numbers in the code and the printed outputs of a chapter."""
    text = []
    for cell in nb.cells:
        if cell.cell_type == "code":
            text.append(cell.source)
            for out in cell.outputs:
                text.append(str(out.get("text", "")) + " ".join(str(v) for k, v in out.get("data", {}).items() if k.startswith("text/")))
    return {float(m.replace("_", "")) for m in PLAIN.findall(re.sub(r"(?<=\d),(?=\d{3})", "", " ".join(text))) if m.strip("_.")}


def homeless(text, nb, waived):
    """The claims that no cell and no line of prose.toml stands for."""
    known = values(nb)
    near = lambda value: any(abs(value - k) < 1e-9 for k in known)
    return [(shown, sentence) for shown, value, percent, sentence in claims(text)
            if not (near(value) or percent and near(value / 100)) and shown not in waived]  # fmt: skip


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_every_number_in_the_text_has_a_cell_or_a_reason(md):
    nb = notebook(md)
    text = "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    waived = WAIVED.get(md.name[:2], {})
    assert homeless(text, nb, waived) == []
    assert set(waived) <= {shown for shown, *_ in claims(text)}, "a reason for a number that is not there"


def test_a_changed_number_is_seen():
    nb = notebook(CHAPTERS[0])
    text = "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    assert homeless(text.replace("about 0.015 for 10,000 points", "about 0.045 for 10,000 points"), nb, WAIVED.get("01", {}))
    assert claims("the share is 12.5 %, see (3.2), section 3.3 and `0.7`; $w = 0.25$.") and len(claims("Figure 1.2 and 5.3 (by hand)")) < 2
    assert [c[0] for c in claims("the share is 12.5 %, see (3.2), section 3.3 and `0.7`; $w = 0.25$, 3 of 10,000.")] == ["12.5 %", "0.25"]
