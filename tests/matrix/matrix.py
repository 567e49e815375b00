"""`make matrix`: the unit tests and the regression of the chapters, unchanged, on other processors, threads, Pythons and versions.

`make matrix ROWS="sse42 py313"` runs some rows only.  Each row that needs packages of its own gets an environment in _build/matrix.
Matplotlib is the pinned one everywhere: another release moves letters by a pixel, which the regression rightly calls a change.
Writes _build/matrix/report.md; the rows of earlier runs stay in it.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "_build" / "matrix"
PINS = (ROOT / "requirements.txt").read_text(encoding="utf8")
UNITS = ["tests/test_" + name + ".py" for name in
         ("target", "times", "loss", "oracle", "sample", "train", "data", "metrics", "experiment", "bad_inputs", "prose")]  # fmt: skip


def pinned(name):
    return f"{name}=={re.search(rf'^{name}==([^ ;]+)', PINS, re.M)[1]}"


TOOLS = [pinned(name) for name in ("matplotlib", "nbval", "pytest", "ipykernel", "jupytext", "pillow", "hypothesis", "beartype", "diffrax", "nbformat")]
ISA = "--xla_cpu_max_isa="
# name: (what it is, environment variables, command before python, how to make the environment or None for the book's own)
ROWS = {
    "two": ("two threads, as it is", {}, [], None),
    "one": ("one thread", {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}, ["taskset", "-c", "0"], None),
    "sse42": ("instructions up to SSE4.2", {"XLA_FLAGS": ISA + "SSE4_2"}, [], None),
    "avx": ("instructions up to AVX", {"XLA_FLAGS": ISA + "AVX"}, [], None),
    "avx2": ("instructions up to AVX2", {"XLA_FLAGS": ISA + "AVX2"}, [], None),
    "x64": ("double precision by default, unit tests only", {"JAX_ENABLE_X64": "1"}, [], None),
    "py311": ("Python 3.11, its pins", {}, [], ("3.11", ["-r", "requirements.txt"])),
    "py312": ("Python 3.12, its pins", {}, [], ("3.12", ["-r", "requirements.txt"])),
    "py313": ("Python 3.13, its pins", {}, [], ("3.13", ["-r", "requirements.txt"])),
    "oldest": ("the oldest versions jitlib admits", {}, [], ("3.11", ["--resolution", "lowest-direct", "./jitlib", *TOOLS])),
    "colab": ("what Colab ships", {}, [], ("3.12", ["jax==0.5.2", "jaxlib==0.5.1", "numpy==2.0.2", "scikit-learn==1.6.1", "./jitlib", *TOOLS])),
    "newest": ("the newest releases", {}, [], (None, ["--upgrade", "./jitlib[book]", pinned("matplotlib")])),
}


def environment(name, python, packages):
    """The interpreter of a row's own environment, made by uv where it is missing."""
    folder = OUT / name
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = OUT / "uv" / "bin" / "uv"
        if not uv.exists():
            subprocess.run([sys.executable, "-m", "venv", OUT / "uv"], check=True)
            subprocess.run([OUT / "uv" / "bin" / "python", "-m", "pip", "install", "-q", "uv"], check=True)
        quiet = {"check": True, "cwd": ROOT, "env": os.environ | {"VIRTUAL_ENV": str(folder)}}
        subprocess.run([uv, "venv", "-q", "--no-python-downloads", "-p", python or sys.executable, folder], **quiet)
        subprocess.run([uv, "pip", "install", "-q", *packages], **quiet)
        subprocess.run([uv, "pip", "install", "-q", "--no-deps", "-e", "./jitlib"], **quiet)
        (folder / "ready").touch()
    return folder / "bin" / "python"


def pytest(python, before, variables, *arguments):
    """Run pytest; (passed, failed, the names of what failed)."""
    command = [*before, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    count = lambda word: sum(map(int, re.findall(rf"(\d+) {word}", done.stdout.splitlines()[-1] if done.stdout else "")))
    failed = [line.split(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ") for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failed:
        failed = [f"pytest ended with {done.returncode}"]
    return count("passed"), max(count("failed") + count("error"), len(failed)), failed, done.stdout[-20_000:] + done.stderr[-2000:]


def versions(python):
    code = "import platform, jax, equinox, optax; print(platform.python_version(), jax.__version__, equinox.__version__, optax.__version__)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def main(names):
    for name in names:
        if name not in ROWS:
            raise SystemExit(f"unknown row {name!r}; expected one of {', '.join(ROWS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    store = OUT / "report.json"
    report = json.loads(store.read_text()) if store.exists() else {}
    for name in names:
        what, variables, before, own = ROWS[name]
        start = time.monotonic()
        try:
            python = environment(name, *own) if own else ROOT / ".venv" / "bin" / "python"
        except subprocess.CalledProcessError as error:
            print(f"{name}: no environment ({error})", flush=True)
            report[name] = {"what": what, "versions": ["not to be had here"] * 4, "passed": 0, "failed": ["environment"], "alarms": 1, "minutes": 0}
            continue
        passed, alarms, failed, log = pytest(python, before, variables, *UNITS)
        if name != "x64":
            more = pytest(python, before, variables, "--nbval", "--nbval-cell-timeout=900", "--nbval-current-env", "book")
            passed, alarms, failed, log = (a + b for a, b in zip((passed, alarms, failed, log), more))
        (OUT / f"{name}.txt").write_text(log, encoding="utf8")
        report[name] = {"what": what, "versions": versions(python), "passed": passed, "failed": failed, "alarms": alarms,
                        "minutes": (time.monotonic() - start) / 60}  # fmt: skip
        store.write_text(json.dumps(report, indent=1))
        print(f"{name}: {passed} passed, {alarms} failed {failed}, {report[name]['minutes']:.1f} minutes", flush=True)
    lines = ["| row | Python | jax | equinox | optax | passed | failed | minutes |", "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {row['what']} | {' | '.join(row['versions'])} | {row['passed']} | {row['alarms']} | {row['minutes']:.0f} |" for row in report.values()]
    (OUT / "report.md").write_text("\n".join(lines) + "\n", encoding="utf8")
    print("\n".join(lines), f"\nwritten: {OUT / 'report.md'}")
    return 1 if any(report[name]["alarms"] for name in names) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(ROWS)))
