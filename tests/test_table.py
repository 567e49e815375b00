"""A long sweep loses nothing it finished and touches no file that is not its own."""
import os
import signal
import subprocess
import sys
import time

import pytest

import jitlib
from jitlib import Setting, sweep, sweep_table
from jitlib.table import COLUMNS

SMALL = {"num_steps": 3, "num_points": 50, "solver_steps": 2, "width": 8, "depth": 2, "batch_size": 4}
SETTINGS = [Setting(4, name, **SMALL) for name in ("x", "v")] + [Setting(3, times=jitlib.LogitNormal(1.0, 1.5), **SMALL)]


@pytest.fixture
def trained(monkeypatch):
    """The pairs that were trained, as they were measured."""
    seen, real = [], jitlib.experiment._measure

    def measure(setting, seed, *rest):
        seen.append((setting, seed))
        return real(setting, seed, *rest)

    monkeypatch.setattr(jitlib.experiment, "_measure", measure)
    return seen


def test_a_table_holds_what_the_sweep_found_and_trains_only_what_it_lacks(tmp_path, trained):
    path = tmp_path / "runs.csv"
    rows = sweep_table(path, SETTINGS[:2], seeds=(0,))
    runs = sweep(SETTINGS[:2], seeds=(0,))
    assert [(r.setting, r.seed, r.in_plane, r.off_plane, r.loss) for r in rows] == [
        (r.setting, r.seed, r.in_plane, r.off_plane, float(r.losses[-1:].mean())) for r in runs
    ]
    trained.clear()
    more = sweep_table(path, SETTINGS, seeds=(0, 1))
    assert sorted(trained, key=str) == sorted([(s, 1) for s in SETTINGS] + [(SETTINGS[2], 0)], key=str)
    assert [more[0], more[2]] == rows
    trained.clear()
    assert sweep_table(path, SETTINGS, seeds=(0, 1)) == more and not trained
    assert len(path.read_text().splitlines()) == 7 and "LogitNormal(mean=1.0, std=1.5)" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import sys, jitlib
small = {"num_steps": 200, "num_points": 400, "solver_steps": 4, "width": 8, "depth": 2, "batch_size": 4}
jitlib.sweep_table(sys.argv[1], [jitlib.Setting(D, **small) for D in range(2, 60)], seeds=(0,))
"""


def test_a_killed_sweep_goes_on_where_it_was(tmp_path, trained):
    path = tmp_path / "runs.csv"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=os.environ | {"JAX_PLATFORMS": "cpu"})
    deadline = time.time() + 120
    while time.time() < deadline and not (path.exists() and len(path.read_text().splitlines()) >= 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = path.read_text().splitlines()
    assert 3 <= len(finished) < 59
    small = {"num_steps": 200, "num_points": 400, "solver_steps": 4, "width": 8, "depth": 2, "batch_size": 4}
    settings = [Setting(D, **small) for D in range(2, len(finished) + 2)]
    rows = sweep_table(path, settings, seeds=(0,))
    assert len(trained) == 1 and len(rows) == len(finished)
    assert path.read_text().splitlines()[: len(finished)] == finished


HEADER = ",".join(COLUMNS)
GOOD = "4,x,v,8,2,MLP,3,4,0.005,False,uniform,0.05,False,swiss_roll,50,heun_step,2,None,1.0,0,0.5,0.25,0.125"
FOREIGN = {
    "another table": ("a,b\n1,2\n", r"has the columns \['a', 'b'\]; expected \['dim', 'prediction'"),
    "an empty file": ("", r"has the columns \[\]; expected"),
    "not text": (b"\xff\xfe\x00", "is not a CSV file in UTF-8"),
    "an open quote": (f'{HEADER}\n"4,x', "is not a CSV file"),
    "cut off in a row": (f"{HEADER}\n{GOOD}\n{GOOD[:20]}", "ends in the middle of line 3; expected a line break"),
    "a row too short": (f"{HEADER}\n{GOOD}\n{GOOD[:20]}\n", r"line 3: 9 fields; expected 23"),
    "cut off in the last number": (f"{HEADER}\n{GOOD[:-2]}", "ends in the middle of line 2; expected a line break at its end"),
    "a word for a number": (f"{HEADER}\n{GOOD[:-5]}oops\n", r"line 2: could not convert string to float: 'oops'; expected an integer seed"),
    "a row twice": (f"{HEADER}\n{GOOD}\n{GOOD}\n", "line 3: this setting and seed occur twice"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_not_such_a_table_is_an_error_and_stays(tmp_path, trained, name):
    content, message = FOREIGN[name]
    content, path = content if isinstance(content, bytes) else content.encode(), tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        sweep_table(path, SETTINGS[:1], seeds=(0,))
    assert path.read_bytes() == content and not trained


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
def test_a_model_that_was_not_trained_has_a_row_too(tmp_path, trained):
    """Its loss is the mean of nothing."""
    untrained, path = Setting(4, **SMALL | {"num_steps": 0}), tmp_path / "runs.csv"
    first, again = (sweep_table(path, [untrained], seeds=(0,)) for _ in range(2))
    assert len(trained) == 1 and str(first) == str(again) and first[0].loss != first[0].loss


def test_a_good_row_is_read_back(tmp_path, trained):
    path = tmp_path / "runs.csv"
    path.write_text(f"{HEADER}\n{GOOD}\n")
    (row,) = sweep_table(path, SETTINGS[:1], seeds=(0,))
    assert (row.loss, row.in_plane, row.off_plane) == (0.5, 0.25, 0.125) and not trained


def test_a_nameless_function_cannot_be_told_apart_and_is_refused(tmp_path, trained):
    with pytest.raises(ValueError, match="times is <function .*lambda.*; a table needs a function with a name"):
        sweep_table(tmp_path / "runs.csv", [Setting(4, times=lambda key, shape=(): jitlib.uniform(key, shape), **SMALL)])
    assert not trained and not list(tmp_path.iterdir())
