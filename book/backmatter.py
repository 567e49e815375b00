"""Write the generated pages of the back matter, formulas.md, api.md and timings.md, from the chapters and the library.

    python book/backmatter.py
"""
import importlib
import inspect
import re

import yaml

from execute import BOOK, chapters, code_cells, source, stored

ROOT = BOOK.parent
# Every numbered equation of the book: the object of jitlib that computes it, or why none does.
PROOF, CELL = "a step of a proof", "a cell of the chapter"
FORMULAS = {
    "1.1": "data.Embedded.lift", "1.2": CELL, "1.3": "metrics.effective_rank", "1.4": "metrics.wasserstein", "1.5": PROOF, "1.6": CELL,
    "1.7": "metrics.sliced_wasserstein", "2.1": "path.interpolate", "2.2": "target.V", "2.3": "target.Target", "2.4": PROOF,
    "2.5": "target.determinant", "2.6": "target.recover", "2.7": PROOF, "2.8": "target.convert", "2.9": CELL, "3.1": PROOF,
    "3.2": "loss.FlowLoss.weight", "3.3": CELL, "3.4": CELL, "4.1": PROOF, "4.2": "target.convert", "4.3": "oracle.IdealPredictor.__call__",
    "4.4": "oracle.Gaussian.spread", "4.5": "oracle.Gaussian.predict", "4.6": "oracle.Gaussian.minimum_loss", "4.7": CELL, "4.8": CELL,
    "5.1": PROOF, "6.1": PROOF, "6.2": "sample.integrate", "6.3": "sample.heun_step", "6.4": "oracle.Gaussian.flow",
    "6.5": "sample.euler_step", "6.6": PROOF, "6.7": CELL, "8.1": PROOF, "9.1": CELL, "9.2": CELL, "9.3": CELL, "9.4": CELL,
    "9.5": CELL, "10.1": "model.Skip.__call__", "10.2": CELL, "10.3": PROOF, "10.4": CELL, "10.5": CELL, "11.1": CELL,
    "12.1": "transformer.Block.attention", "12.2": "transformer.Block.__call__", "12.3": "metrics.frechet", "12.4": "model.Guided.__call__",
    "13.1": CELL, "13.2": CELL,
}  # fmt: skip
MODULES = ("path", "target", "times", "loss", "oracle", "data", "metrics", "model", "train", "sample", "setting", "experiment", "table", "mesh", "images",
           "transformer", "plot", "moving")  # fmt: skip


def repository():
    """The address under which the library's source can be read."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
    return f"{settings['url']}/blob/{settings['branch']}/jitlib"


def line_of(thing):
    """The line where a function or class begins."""
    return inspect.getsourcelines(inspect.unwrap(thing))[1]


def found(name):
    """(the object of jitlib of that dotted name, the line where it begins)."""
    module, *path = name.split(".")
    thing = holder = importlib.import_module(f"jitlib.{module}")
    for part in path:
        thing = getattr(thing, part)
    try:
        return thing, line_of(thing)
    except TypeError:  # a value, such as the target V
        return thing, next(n for n, line in enumerate(inspect.getsource(holder).splitlines(), 1) if line.startswith(f"{path[-1]} ="))


def equations(md):
    """(number, LaTeX) of every numbered equation of a chapter, in order."""
    text = "\n\n".join(cell.source for cell in source(md).cells if cell.cell_type == "markdown")
    return [(tag[1], " ".join(body.replace(tag[0], "").split()).rstrip(" .,"))
            for body in re.findall(r"\$\$(.*?)\$\$", text, re.S) if (tag := re.search(r"\\tag\{([\d.]+)\}", body))]  # fmt: skip


def formulas():
    """The page that says for every equation which line of the library computes it."""
    lines = ["# Formulas and their code", "", "Every numbered equation of the book, and the one place in `jitlib` that computes it. This page is made from the chapters and the library, and a test holds",
             "it to both. Where no function is named, the equation is a step of a proof, or a cell of its chapter computes it."]  # fmt: skip
    for md in chapters():
        title = source(md).cells[0].source.splitlines()[0].removeprefix("# ")
        if missing := [number for number, _ in equations(md) if number not in FORMULAS]:
            raise SystemExit(f"equation ({missing[0]}) of {md.name} has no entry in FORMULAS; say what computes it")
        rows = [(number, latex, FORMULAS[number]) for number, latex in equations(md)]
        if rows:
            lines += ["", f"## {title}", "", f"Derived in [chapter {int(md.name[:2])}]({md.stem}.ipynb).", "", "| equation | formula | computed by |", "|---|---|---|"]
        for number, latex, name in rows:
            latex = latex.replace("\\|", "\\Vert ").replace("|", "\\vert ")
            where = name.replace(" ", "\N{NO-BREAK SPACE}") if " " in name else f"[`{name}`]({repository()}/{name.split('.')[0]}.py#L{found(name)[1]})"
            lines.append(f"| ({number}) | ${latex}$ | {where} |")
    return "\n".join(lines) + "\n"


def public(module):
    """The functions and classes that a module defines, in the order of its lines."""
    things = [(name, thing) for name, thing in vars(module).items()
              if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__ and callable(thing)]
    return sorted(things, key=lambda pair: line_of(pair[1]))


class Bare(str):
    """A word that stands for itself in a signature."""

    __repr__ = str.__str__


def signature(name, thing):
    """How to call it, as one line of code; the shapes are left to the text, and a function among the defaults is named."""

    def plain(parameter):
        default = parameter.default
        if callable(default) and default is not parameter.empty:
            parameter = parameter.replace(default=Bare(default.__name__))
        elif isinstance(default, tuple) and any(map(callable, default)):
            parameter = parameter.replace(default=Bare("ADAM"))
        return parameter.replace(annotation=parameter.empty)

    return f"{name}{inspect.Signature(list(map(plain, inspect.signature(thing).parameters.values())))}"


def methods(thing):
    """The methods and properties of a class that carry a text: (how to write them, the text)."""
    for name, member in vars(thing).items() if inspect.isclass(thing) else ():
        inner = member.fget if isinstance(member, property) else member
        if (name == "__call__" or not name.startswith("_")) and name not in getattr(thing, "__annotations__", {}) and getattr(inner, "__doc__", None) and callable(inspect.unwrap(inner)):
            yield (name if isinstance(member, property) else signature(name, inspect.unwrap(inner)).replace("(self, ", "(").replace("(self)", "()")), text(inner)


def text(thing):
    """A docstring in which a sentence is not broken where the source breaks it; lines that are indented stay as they are."""
    return re.sub(r"(?m)^(\S.*(?:[^.:\n]|:(?=\n[a-z])))\n(?=\S)", r"\1 ", inspect.getdoc(thing))


def api():
    """The page with every public function and class of the library, from its docstrings."""
    lines = ["# The library", "", "Every public function and class of `jitlib` but the checks of arguments, in the order of the chapters, with the text that its source carries. This page is made from the source, and a test",
             "holds it to it. The links lead to the lines."]  # fmt: skip
    for name in MODULES:
        module = importlib.import_module(f"jitlib.{name}")
        lines += ["", f"## jitlib.{name}", "", inspect.cleandoc(module.__doc__).splitlines()[0]]
        for label, thing in public(module):
            line = line_of(thing)
            lines += ["", f"### {label}", "", "```python", signature(label, thing), "```", "", "```text", text(thing), "```"]
            for how, what in methods(thing):
                lines += ["", "```python", f".{how}", "```", "", "```text", what, "```"]
            lines += ["", f"[jitlib/{name}.py, line {line}]({repository()}/{name}.py#L{line})"]
    return "\n".join(lines) + "\n"


def timings():
    """The page that says how long each chapter took when it was last run, by what its notebook remembers."""
    lines = ["# How long the chapters run", "", "Seconds from the start of a chapter to its end when its outputs were last stored, all compilation included, and the cores of that machine. It had no accelerator, and where other work ran beside a chapter the number is too large.",
             "This page is made from the notebooks. The benchmark of [chapter 5](05_training_in_one_scan.ipynb) compares times; these are for planning.", "", "| chapter | code cells | seconds | cores |", "|---|---|---|---|"]  # fmt: skip
    total = 0
    for md in chapters():
        notebook = stored(md)
        title = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown").splitlines()[0].removeprefix("# ")
        ran = notebook.metadata["jit_book"]
        total += ran["seconds"]
        lines.append(f"| [{title}]({md.stem}.ipynb) | {len(code_cells(notebook))} | {ran['seconds']} | {ran['cores']} |")
    return "\n".join([*lines, f"| the book | | {total} | |"]) + "\n"


PAGES = {"formulas.md": formulas, "api.md": api, "timings.md": timings}


if __name__ == "__main__":
    for name, page in PAGES.items():
        if not (BOOK / name).exists() or (BOOK / name).read_text(encoding="utf8") != page():
            (BOOK / name).write_text(page(), encoding="utf8", newline="\n")
            print(f"written: book/{name}")
