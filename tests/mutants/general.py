"""Faults of every operator and number, made by cosmic-ray and written as JSON; runs in an environment of its own (see `make mutants`)."""
import json
import sys
import tokenize
from pathlib import Path

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = [f"core/{name}" for name in (
    "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div", "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_Pow_Mul", "ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq", "ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is", "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not",
    "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot", "NumberReplacer", "RemoveDecorator",
)]  # fmt: skip


def docstring_lines(path):
    """Lines of strings that stand alone: a number in them is prose."""
    with open(path, "rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    return {n for t in tokens if t.type == tokenize.STRING and t.line.lstrip().startswith(('"""', 'r"""')) for n in range(t.start[0], t.end[0] + 1)}


def main(modules, out):
    found = []
    for module in modules:
        path = ROOT / "jitlib" / f"{module}.py"
        text, prose = path.read_text(encoding="utf8"), docstring_lines(path)
        for name in OPERATORS:
            operator, occurrence = get_operator(name)(), 0
            while (new := mutate_code(text, operator, occurrence)) is not None:
                occurrence += 1
                before, after = text.splitlines(), new.splitlines()
                changed = [(i, a, b) for i, (a, b) in enumerate(zip(before, after), 1) if a != b]
                if len(before) != len(after):
                    line = next(iter(set(before) - set(after)), "")
                    found.append((module, f"without `{line.strip()}`", new))
                elif changed and changed[0][0] not in prose and 'Float[Array, "' not in changed[0][1]:
                    _, a, b = changed[0]
                    found.append((module, f"`{a.strip()}` -> `{b.strip()}`", new))
    Path(out).write_text(json.dumps(found))
    print(f"{len(found)} faults written to {out}")


main(sys.argv[2:], sys.argv[1])
