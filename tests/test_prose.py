"""Numbers in the text: each decimal and each percentage stands in a cell of its section, or prose.toml says where it comes from."""
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


def said(cells):
    """The code and the printed outputs of cells."""
    text = []
    for cell in cells:
        if cell.cell_type == "code":
            text.append(cell.source)
            for out in cell.outputs:
                text.append(str(out.get("text", "")) + " ".join(str(v) for k, v in out.get("data", {}).items() if k.startswith("text/")))
    return "\n".join(text)


def within(text, value, percent):
    """Whether a claim's number is among the numbers of a text."""
    known = {float(m.replace("_", "")) for m in PLAIN.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text)) if m.strip("_.")}
    return any(abs(value - k) < 1e-9 or percent and abs(value / 100 - k) < 1e-9 for k in known)


def sections(nb):
    """A chapter's cells from one heading of second order to the next: (text, code and outputs) of each."""
    found = [([], [])]
    for cell in nb.cells:
        if cell.cell_type == "code":
            found[-1][1].append(cell)
        else:
            first, *others = re.split(r"^(?=## )", cell.source, flags=re.M)
            found[-1][0].append(first)
            found += [([text], []) for text in others]
    return [("\n\n".join(texts), said(cells)) for texts, cells in found]


def homeless(nb, waived):
    """The claims that no cell of their section and no line of prose.toml stands for."""
    return [(shown, sentence) for text, cells in sections(nb) for shown, value, percent, sentence in claims(text)
            if shown not in waived and not within(cells, value, percent)]  # fmt: skip


def unfounded(nb, waived):
    """The lines of prose.toml for a number that is not in the text, or needs no line, or from a piece of a cell that is not there or has not the number."""
    stated, cells = {shown: (value, percent) for text, _ in sections(nb) for shown, value, percent, _ in claims(text)}, said(nb.cells)
    pieces = {shown: why.removeprefix("cell: ") for shown, why in waived.items() if why.startswith("cell: ")}
    return [s for s in waived if s not in dict(homeless(nb, {}))] + [s for s, piece in pieces.items() if piece not in cells or s in stated and not within(piece, *stated[s])]


@pytest.mark.parametrize("md", CHAPTERS, ids=lambda p: p.stem)
def test_every_number_in_the_text_has_a_cell_or_a_reason(md):
    nb, waived = notebook(md), WAIVED.get(md.name[:2], {})
    assert homeless(nb, waived) == [] and unfounded(nb, waived) == []


def test_a_changed_number_is_seen():
    nb, waived = notebook(CHAPTERS[0]), WAIVED["01"]
    assert unfounded(nb, waived | {"0.77": "cell: nowhere"}) == ["0.77", "0.77"] and unfounded(nb, waived | {"0.015": "cell: seeds = 10"}) == ["0.015"]
    for cell in nb.cells:
        cell.source = cell.source.replace("about 0.015 for 10,000 points", "about 0.045 for 10,000 points")
    assert [shown for shown, _ in homeless(nb, waived)] == ["0.045"] and unfounded(nb, waived) == ["0.015"]
    assert claims("the share is 12.5 %, see (3.2), section 3.3 and `0.7`; $w = 0.25$.") and len(claims("Figure 1.2 and 5.3 (by hand)")) < 2
    assert [c[0] for c in claims("the share is 12.5 %, see (3.2), section 3.3 and `0.7`; $w = 0.25$, 3 of 10,000.")] == ["12.5 %", "0.25"]
