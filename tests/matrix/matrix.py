"""`make matrix`: the unit tests and the regression of the chapters, unchanged, on other processors, threads, Pythons and versions.

`make matrix ROWS="sse42 py313" CHAPTERS="01 units"` runs some rows, chapters and the unit tests only.  Each row that needs packages of its own gets an environment in _build/matrix.
Matplotlib is the pinned one everywhere: another release moves letters by a pixel, which the regression rightly calls a change.
Writes tests/matrix/report.json and, as a table, _build/matrix/report.md after every piece (the unit tests, one chapter).  What passed
before and has not changed since is not run again, so an interrupted run, or one after a change to a chapter, does only what is missing.
A row that is another one on this machine, such as AVX2 where there is nothing above it, or the newest releases where
the pins are the newest, takes over what that one found.
Several runs, of other rows or other pieces of one, may go on side by side; those of two threads each only where there are four cores:
on two, chapter 8 took 32 minutes beside another chapter and chapter 10 took 8 alone.
"""
import argparse
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import execute  # noqa: E402

OUT = ROOT / "_build" / "matrix"
STORE = ROOT / "tests" / "matrix" / "report.json"
PINS = (ROOT / "requirements.txt").read_text(encoding="utf8")
UNITS = [f"tests/test_{name}.py" for name in re.search(r"^UNITS = (.*)", (ROOT / "Makefile").read_text(encoding="utf8"), re.M)[1].split() + ["bad_inputs"]]


def pinned(name):
    return f"{name}=={re.search(rf'^{name}==([^ ;]+)', PINS, re.M)[1]}"


TOOLS = [pinned(name) for name in ("matplotlib", "nbval", "pytest", "ipykernel", "jupytext", "pillow", "hypothesis", "beartype", "diffrax", "nbformat")]
ISA = "--xla_cpu_max_isa="
# name: (what it is, environment variables, how to make the environment or None for the book's own)
ROWS = {
    "two": ("two threads, as it is", {}, None),
    "one": ("one thread, as `make test` does", {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}, None),
    "sse42": ("instructions up to SSE4.2", {"XLA_FLAGS": ISA + "SSE4_2"}, None),
    "avx": ("instructions up to AVX", {"XLA_FLAGS": ISA + "AVX"}, None),
    "avx2": ("instructions up to AVX2", {"XLA_FLAGS": ISA + "AVX2"}, None),
    "x64": ("double precision by default, unit tests only", {"JAX_ENABLE_X64": "1"}, None),
    "py311": ("Python 3.11, its pins", {}, ("3.11", ["-r", "requirements.txt"])),
    "py312": ("Python 3.12, its pins", {}, ("3.12", ["-r", "requirements.txt"])),
    "py313": ("Python 3.13, its pins", {}, ("3.13", ["-r", "requirements.txt"])),
    "oldest": ("the oldest versions jitlib admits", {}, ("3.11", ["--resolution", "lowest-direct", "./jitlib", *TOOLS])),
    "colab": ("what Colab ships", {}, ("3.12", ["jax==0.5.2", "jaxlib==0.5.1", "numpy==2.0.2", "scikit-learn==1.6.1", "./jitlib", *TOOLS])),
    "quick": ("the sweep chapters with their quick switch set", {}, None),
    "newest": ("the newest releases", {}, (None, ["--upgrade", "./jitlib[book]", pinned("matplotlib")])),
}


BOOKS = ROOT / ".venv" / "bin" / "python"


def twin(name, python):
    """The row that this one is on this machine: "two" for a cap that caps nothing, and for the versions that the book's own Python has; else itself."""
    if name == "avx2":
        return name if "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf8") else "two"
    return "two" if ROWS[name][2] and computing(python) == computing(BOOKS) else name


def environment(name, python, packages):
    """The interpreter of a row's own environment, made by uv where it is missing or made from other packages."""
    folder = OUT / name
    wanted = "\n".join([*packages, PINS, (ROOT / "jitlib" / "pyproject.toml").read_text(encoding="utf8")])
    if not (folder / "ready").exists() or (folder / "ready").read_text(encoding="utf8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        uv = OUT / "uv" / "bin" / "uv"
        if not uv.exists():
            subprocess.run([sys.executable, "-m", "venv", OUT / "uv"], check=True)
            subprocess.run([OUT / "uv" / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv"], check=True)
        quiet = {"check": True, "cwd": ROOT, "env": os.environ | {"VIRTUAL_ENV": str(folder)}}
        subprocess.run([uv, "venv", "-q", "--no-python-downloads", "-p", python or sys.executable, folder], **quiet)
        subprocess.run([uv, "pip", "install", "-q", *packages], **quiet)
        subprocess.run([uv, "pip", "install", "-q", "--no-deps", "-e", "./jitlib"], **quiet)
        (folder / "ready").write_text(wanted, encoding="utf8")
    return folder / "bin" / "python"


def pytest(python, variables, log, *arguments):
    """Run pytest, its output appended to `log`: how many passed, and the names of what failed."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    with open(log, "a", encoding="utf8") as file:
        file.write(f"== {' '.join(arguments)}\n{done.stdout[-20_000:]}{done.stderr[-2000:]}\n")
    lines = done.stdout.splitlines()
    failed = [line.split(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ") for line in lines if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failed:
        failed = [f"pytest ended with {done.returncode}"]
    return {"passed": sum(map(int, re.findall(r"(\d+) passed", lines[-1] if lines else ""))), "failed": failed}


def parts(name, python):
    """What a row runs, piece by piece: {piece: (hash of all that decides its result, arguments to pytest)}."""
    digest = lambda *inputs: hashlib.sha256(repr((ROWS[twin(name, python)], versions(python), inputs)).encode()).hexdigest()
    read = lambda *files: [path.read_bytes() for path in sorted(files)]
    if name == "quick":
        quick = ROOT / "tests" / "matrix" / "quick.py"
        switched = [md for md in execute.chapters() if "\nquick = False" in md.read_text(encoding="utf8")]
        return {md.stem: (digest(execute.inputs_hash(md), read(quick)), [str(quick.relative_to(ROOT)), "-k", md.stem]) for md in switched}
    units = read(*ROOT.glob("jitlib/*.py"), *(ROOT / unit for unit in UNITS), *ROOT.glob("tests/[cp]*.py"))
    found = {"units": (digest(units), UNITS)}
    if name != "x64":
        for md in execute.chapters():
            arguments = ["--nbval", f"--nbval-cell-timeout={4 * execute.CELL_TIMEOUT}", "--nbval-current-env", str(md.with_suffix(".ipynb").relative_to(ROOT))]
            stored = execute.stored(md)  # a notebook with new outputs is another thing to compare with
            if stored is None:
                raise SystemExit(f"{md.stem} has no notebook; run: make book")
            rules = read(ROOT / "book" / "compare.py", ROOT / "book" / "conftest.py")
            found[md.stem] = (digest([cell.get("outputs") for cell in stored.cells], execute.inputs_hash(md), rules), arguments)
    return found


@functools.cache
def versions(python, *more):
    """The version of an interpreter, of the packages that the table names, and of `more`."""
    names = ("jax", "equinox", "optax", "numpy", "scikit-learn", *more)
    code = f"import platform, importlib.metadata as m; print(platform.python_version(), *map(m.version, {names}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def computing(python):
    """The versions of all that computes or draws a number of the book."""
    return versions(python, "jaxlib", "ml_dtypes", "scipy", "matplotlib", "contourpy", "pillow", "diffrax")


def read_report():
    return json.loads(STORE.read_text(encoding="utf8")) if STORE.exists() else {}


def keep(name, change):
    """Change a row of the report, at once, so that an interrupted run goes on here, and beside what another run put there; returns the report."""
    with open(OUT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = read_report()
        change(report.setdefault(name, {"parts": {}}))
        STORE.with_suffix(".tmp").write_text(json.dumps(report, indent=1) + "\n", encoding="utf8")
        os.replace(STORE.with_suffix(".tmp"), STORE)
        (OUT / "report.md").write_text(table(report), encoding="utf8")
    return report


def table(report):
    lines = ["| row | Python | jax | equinox | optax | numpy | scikit-learn | chapters | passed | failed | minutes |", "|---" * 11 + "|"]
    for name in ROWS:
        if name in report:
            row, done = report[name], report[name]["parts"].values()
            count, passed, failed = len(row["parts"]) - ("units" in row["parts"]), sum(part["passed"] for part in done), sum(len(part["failed"]) for part in done)
            lines.append(f"| {ROWS[name][0]} | {' | '.join(row['versions'])} | {count} | {passed} | {failed} | {sum(part['minutes'] for part in done):.0f} |")
    return "\n".join(lines) + "\n"


def main(names, chapters):
    for name in names:
        if name not in ROWS:
            raise SystemExit(f"unknown row {name!r}; expected one of {', '.join(ROWS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    report = read_report()
    numbers = [number for number in chapters or [] if number != "units"]
    chosen = {md.stem for md in execute.select(numbers, execute.chapters())} if numbers or not chapters else set()
    chosen |= {"units"} if not chapters or "units" in chapters else set()
    bad = 0
    for name in names:
        _, variables, own = ROWS[name]
        try:
            with open(OUT / "environments", "w") as lock:  # one at a time makes what both need
                fcntl.flock(lock, fcntl.LOCK_EX)
                python = environment(name, *own) if own else BOOKS
        except subprocess.CalledProcessError as error:
            print(f"{name}: no environment ({error})", flush=True)
            bad += 1
            continue
        found = versions(python)
        wanted = parts(name, python)
        current = lambda row: {part: done for part, done in row["parts"].items() if part in wanted and done["inputs"] == wanted[part][0]}
        report = keep(name, lambda row: row.update(versions=found, parts=current(row)))
        for part, (inputs, arguments) in wanted.items():
            before = read_report()[name]["parts"]
            if part not in chosen or part in before and not before[part]["failed"]:
                continue
            known = (row["parts"].get(part, {}) for row in read_report().values())
            done = next((done for done in known if done.get("inputs") == inputs and not done["failed"]), None)
            if done:
                report = keep(name, lambda row: row["parts"].update({part: done}))
                continue
            start = time.monotonic()
            done = pytest(python, variables, OUT / f"{name}.txt", *arguments)
            done |= {"inputs": inputs, "minutes": (time.monotonic() - start) / 60}
            bad += len(done["failed"])
            report = keep(name, lambda row: row["parts"].update({part: done}))
            print(f"{name}, {part}: {done['passed']} passed, {len(done['failed'])} failed {done['failed'] or ''}", flush=True)
    print(f"{table(report)}\nwritten: {OUT / 'report.md'}")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", default=list(ROWS))
    parser.add_argument("--chapters", nargs="*", metavar="NN")
    options = parser.parse_args()
    sys.exit(main(options.rows, options.chapters))
