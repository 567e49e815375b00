"""Every folded solution runs by itself, from its own imports, and its assertions hold."""
import re
import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "book"))
from execute import chapters  # noqa: E402

FOLD = re.compile(r"\*\*(\d+\.\d) [^\n]*\n.*?<details><summary>Solution</summary>(.*?)</details>", re.S)
SOLUTIONS = [(number, block) for md in chapters() for number, fold in FOLD.findall(md.read_text(encoding="utf8"))
             for block in re.findall(r"```python\n(.*?)```", fold, re.S)]


def test_no_solution_is_missed():
    assert len(SOLUTIONS) == sum(md.read_text(encoding="utf8").count("```python\n") for md in chapters()) >= 3 * len(chapters())


@pytest.mark.parametrize("block", [b for _, b in SOLUTIONS], ids=[n for n, _ in SOLUTIONS])
def test_solution(block):
    assert "assert" in block
    with jax.numpy_rank_promotion("allow"):  # a reader's code may broadcast
        exec(compile(block, "solution", "exec"), {"__name__": "solution"})
