"""`make mutants`: plant one fault at a time, in the library and in the chapters, and see whether a test notices.

Three kinds: faults picked by hand in jitlib (PICKED), faults of every operator and number of six modules, made by cosmic-ray, and
faults in the chapters (code, stored figures, prose).  A fault in the library is killed when the unit tests fail, one in a chapter
when the chapter's regression or the tests of its file do.  Survivors must be explained in explained.toml; the rest is a failure.
Writes _build/mutants/report.md.  What became of a fault in the library is kept in tests/mutants/done.json until the library, its tests
or the pins change, so an interrupted run goes on where it stopped.  After a change each fault meets first the test that noticed it last.
"""
import collections
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "_build" / "mutants"
sys.path[:0] = [str(ROOT / "book"), str(Path(__file__).parent)]

from picked import PICKED  # noqa: E402

MODULES = ("target", "loss", "sample", "path", "times", "metrics")  # where the general tool plants its faults
TESTS = ("target", "times", "bad_inputs", "loss", "oracle", "sample", "data", "metrics", "train", "experiment", "moving", "images", "transformer")
WORKERS = 2
SLOWER = 5  # times as long as without a fault, and a mutant counts as one that does not end; most must compile anew


def suite(module):
    """The unit tests, those of the module first."""
    first = [name for name in TESTS if name == module]
    first += {"model": ["train", "transformer"], "loss": ["transformer"]}.get(module, [])
    return [str(ROOT / "tests" / f"test_{name}.py") for name in [*first, *(name for name in TESTS if name not in first)]]


def library_mutants():
    """(kind, module, what was done, the whole new text of the module)."""
    for module, old, new in PICKED:
        text = (ROOT / "jitlib" / f"{module}.py").read_text(encoding="utf8")
        if text.count(old) != 1:
            raise SystemExit(f"{module}: {old!r} occurs {text.count(old)} times; expected once")
        yield "picked", module, f"`{old.strip()}` -> `{new.strip()}`", text.replace(old, new)
    for module, what, text in json.loads((OUT / "general.json").read_text()):
        yield "general", module, what, text


def child(module, text, first, log):
    """In a forked process that has imported everything but jitlib: run the test `first`, then all, on a copy of the library with the fault."""
    copy = OUT / "copies" / str(os.getpid()) / "jitlib"
    shutil.copytree(ROOT / "jitlib", copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (copy / f"{module}.py").write_text(text, encoding="utf8")
    sys.path[:0] = [str(copy.parent), str(ROOT / "tests")]
    sys.dont_write_bytecode = True
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        tests = lambda *names: pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *names])
        noticed = first.startswith("test_") and tests(str(ROOT / "tests" / first)) == pytest.ExitCode.TESTS_FAILED
        code = pytest.ExitCode.TESTS_FAILED if noticed else tests(*suite(module))
    shutil.rmtree(copy.parent)
    os._exit(int(code))


def run_all(mutants, limit=float("inf"), first=lambda mutant: ""):
    """Run every mutant, a few at a time, for `limit` seconds each; yield (mutant, killed, seconds, the test that noticed)."""
    running, number = {}, 0
    mutants = list(mutants)
    while running or number < len(mutants):
        while number < len(mutants) and len(running) < WORKERS:
            log = OUT / "logs" / f"{number:04d}.txt"
            pid = os.fork()
            if pid == 0:
                os.setpgrp()
                child(mutants[number][1], mutants[number][3], first(mutants[number]), log)
            running[pid] = (mutants[number], time.monotonic(), log)
            number += 1
        time.sleep(0.05)
        for pid, (mutant, start, log) in list(running.items()):
            late = time.monotonic() - start > limit
            if late:
                os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if done:
                del running[pid]
                failed = [line.split(" - ")[0][7:] for line in log.read_text(errors="replace").splitlines() if line.startswith(("FAILED ", "ERROR "))]
                by = "no end within the limit" if late else failed[0].split("/")[-1] if failed else ""
                wrong = status and os.waitstatus_to_exitcode(status) in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
                yield mutant, late or status != 0 and not wrong, time.monotonic() - start, "pytest itself failed" if wrong else by


def decides():
    """The files that decide whether a fault in the library is noticed."""
    tests = [ROOT / "tests" / f"{name}.py" for name in ("conftest", "precision", *(f"test_{name}" for name in TESTS))]
    return [*sorted(ROOT.glob("jitlib/*.py")), *tests, ROOT / "requirements.txt"]


def remembered(mutants, limit):
    """What became of each mutant: from done.json where it, the tests it meets and the pins are the same, else by running it."""
    store, names, times = Path(__file__).with_name("done.json"), {}, collections.Counter()
    code = hashlib.sha256(b"".join(path.read_bytes() for path in decides())).hexdigest()
    inputs = lambda mutant: hashlib.sha256(repr((mutant, code)).encode()).hexdigest()
    for mutant in mutants:
        name = f"{mutant[0]}, {mutant[1]}: {mutant[2]}"
        times[name] += 1
        names[mutant] = name if times[name] == 1 else f"{name} ({times[name]})"
    before = json.loads(store.read_text()) if store.exists() else {}
    done, todo = {name: before[name] for name in names.values() if name in before}, []
    for mutant, name in names.items():
        if name in done and done[name][0] == inputs(mutant):
            yield mutant, *done[name][1:]
        else:
            todo.append(mutant)
    noticed = lambda mutant: done.get(names[mutant], [""])[-1]  # the test that did, or ""
    for mutant, *outcome in run_all(todo, limit, noticed):
        done[names[mutant]] = [inputs(mutant), *outcome]
        store.with_suffix(".tmp").write_text(json.dumps(done, indent=0) + "\n")
        os.replace(store.with_suffix(".tmp"), store)
        yield mutant, *outcome


def main(kinds):
    explained = tomllib.loads(Path(__file__).with_name("explained.toml").read_text(encoding="utf8"))
    start, rows, survivors, outcomes = time.monotonic(), {}, [], []
    if "library" in kinds:
        for folder in ("copies", "logs"):
            shutil.rmtree(OUT / folder, ignore_errors=True)
            (OUT / folder).mkdir(parents=True)
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(OUT / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05", "JAX_PLATFORMS": "cpu"}
        import diffrax, equinox, hypothesis, jax, matplotlib.pyplot, optax, scipy.stats, sklearn.datasets  # noqa: E401, F401 (imported once, for all children)

        phases = hypothesis.Phase.explicit, hypothesis.Phase.generate  # a failing example is not made smaller, which can take minutes
        hypothesis.settings.register_profile("mutants", phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")
        ((_, failed, seconds, by),) = run_all([("none", "target", "nothing", (ROOT / "jitlib" / "target.py").read_text(encoding="utf8"))])
        if failed or by:
            raise SystemExit(f"the tests fail without any fault: {by}; see {OUT}/logs/0000.txt")
        print(f"without a fault the tests pass, in {seconds:.0f} s", flush=True)
        outcomes.append(remembered(library_mutants(), SLOWER * seconds))
    if "chapters" in kinds:
        from chapters import chapter_mutants  # needs kernels, so after the forks

        outcomes.append(chapter_mutants())
    for (kind, where, what, _), killed, seconds, by in (outcome for stream in outcomes for outcome in stream):
        why = explained.get(where, {}).get(what, "")
        print(f"{'killed' if killed else 'SURVIVED' if not why else 'explained'}  {seconds:5.1f} s  {kind:8} {where:10} {what}  {by}", flush=True)
        counts = rows.setdefault((kind, where), [0, 0, 0])
        counts[0] += 1
        counts[1 if killed else 2] += 1
        if not killed:
            survivors.append((kind, where, what, why))
    lines = ["| fault | where | planted | killed | explained | not explained |", "|---|---|---|---|---|---|"]
    for (kind, where), (planted, killed, lived) in rows.items():
        open_ = sum(s[:2] == (kind, where) and not s[3] for s in survivors)
        lines.append(f"| {kind} | {where} | {planted} | {killed} | {lived - open_} | {open_} |")
    totals = [sum(row[i] for row in rows.values()) for i in range(3)]
    unexplained = [s for s in survivors if not s[3]]
    lines.append(f"| all | | {totals[0]} | {totals[1]} | {totals[2] - len(unexplained)} | {len(unexplained)} |")
    lines += ["", f"{(time.monotonic() - start) / 60:.0f} minutes.", "", "| survivor | why |", "|---|---|"]
    lines += [f"| {where}: {what.replace('|', chr(92) + '|')} | {why or '**not explained**'} |" for _, where, what, why in survivors]
    (OUT / "report.md").write_text("\n".join(lines) + "\n", encoding="utf8")
    print("\n".join(lines), f"\nwritten: {OUT / 'report.md'}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["library", "chapters"]))
