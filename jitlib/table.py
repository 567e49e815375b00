"""Long sweeps that survive being killed: a CSV file with one row for each model (chapter 13)."""

import csv
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax

from jitlib.experiment import runs
from jitlib.setting import Setting

MEASURED = ("loss", "in_plane", "off_plane")
COLUMNS = [*(field.name for field in dataclasses.fields(Setting)), "seed", *MEASURED]


class Row(NamedTuple):
    """One finished model of a table: its last losses' mean (of a tenth of the steps) and the two errors of its samples."""

    setting: Setting
    seed: int
    loss: float
    in_plane: float
    off_plane: float


def _text(name: str, value) -> str:
    """The text of one field.  It must tell two values apart, so a nameless function is refused."""
    if not callable(value):
        return str(value)
    text = repr(value) if isinstance(value, eqx.Module) else getattr(value, "__name__", "<lambda>")
    if "<" in text:
        raise ValueError(f"{name} is {value!r}; a table needs a function with a name of its own, or a module such as LogitNormal")
    return text


def _key(setting: Setting, seed: int) -> tuple[str, ...]:
    return *(_text(field.name, getattr(setting, field.name)) for field in dataclasses.fields(Setting)), str(int(seed))


def _read(path: Path) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The rows of a table: measurements by setting and seed.  A file that is not such a table is an error and stays as it is."""
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf8")
        lines = list(csv.reader(text.splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8 ({error}); expected a table written by sweep_table") from None
    if not lines or lines[0] != COLUMNS:
        raise ValueError(f"{path} has the columns {lines[0] if lines else []}; expected {COLUMNS}")
    if not text.endswith("\n"):
        raise ValueError(f"{path} ends in the middle of line {len(lines)}; expected a line break at its end, was it cut off?")
    rows = {}
    for number, line in enumerate(lines[1:], 2):
        key, measured = tuple(line[: -len(MEASURED)]), tuple(line[-len(MEASURED) :])
        if len(line) != len(COLUMNS):
            raise ValueError(f"{path}, line {number}: {len(line)} fields; expected {len(COLUMNS)}")
        try:
            int(key[-1]), [float(m) for m in measured]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}; expected an integer seed and numbers in {MEASURED}") from None
        if key in rows:
            raise ValueError(f"{path}, line {number}: this setting and seed occur twice; expected once")
        rows[key] = measured
    return rows


def _write(path: Path, rows) -> None:
    """Replace the table in one stroke: a reader, or a kill, sees the old file or the new one."""
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *(key + measured for key, measured in rows.items())])
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def sweep_table(path, settings: Iterable[Setting], seeds: Sequence[int] = (0, 1, 2), progress: bool = True, mesh=None) -> list[Row]:
    """`sweep` with a memory: train only what the CSV file at `path` lacks, add a row as each model is measured, return all rows.

    Kill it at any moment and call it again: no row is lost and none is computed twice.  The models of one shape train together,
    so give a long sweep in parts to save more often.  Other settings already in the file are kept.  Of several processes, which
    must all see the file, the first one writes.
    Raises ValueError before any training, and leaves the file as it is, where it is not such a table; where its folder is not there;
    and on a setting whose functions have no name.
    """
    path, pairs = Path(path), [(setting, seed) for setting in settings for seed in seeds]
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a folder; expected one for the table {path.name}")
    rows = _read(path)
    keys = [_key(*pair) for pair in pairs]
    missing = {key: pair for key, pair in zip(keys, pairs) if key not in rows}
    for run in runs(missing.values(), progress, mesh):
        tail = run.losses[-max(1, len(run.losses) // 10) :]
        rows[_key(run.setting, run.seed)] = tuple(repr(float(m)) for m in (tail.mean(), run.in_plane, run.off_plane))
        if jax.process_index() == 0:
            _write(path, rows)
    return [Row(*pair, *map(float, rows[key])) for pair, key in zip(pairs, keys)]
