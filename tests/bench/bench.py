"""The benchmark: `make bench` writes _build/bench/report.md and report.json.  Times mean little elsewhere; ratios are what to read.

Everything that is compared is timed in turn (A B A B ...), so that a machine that slows down slows both sides.
"""
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

sys.path.insert(0, str(Path(__file__).parent))
import notebook  # noqa: E402

import jitlib  # noqa: E402
from jitlib import TARGETS, Embedded, MLP, FlowLoss, X, experiment, fit, orthonormal, recipe, stack, swiss_roll  # noqa: E402

OUT = Path(__file__).parents[2] / "_build" / "bench"
TARGET = {2: 0.045, 16: 0.048, 128: 0.041, 512: 0.066}  # the notebook's own in-plane distances for x-prediction (chapter 7)
# The notebook's own code, run as it stands for two epochs from PRNGKey(42) on swiss_roll(key(0)) and orthonormal(PRNGKey(42), D).
LOSSES = {(2, "x"): (51.163475, 9.016874), (2, "eps"): (23.621592, 4.095317), (2, "v"): (1.384341, 1.191592),
          (512, "x"): (0.462681, 0.240807), (512, "eps"): (40.363823, 40.551624), (512, "v"): (1.002390, 0.996596)}  # fmt: skip
report = []


def section(title, header, rows, note=""):
    """Add a table to the report, print it and save what there is so far."""
    rows = [[x if isinstance(x, str) else str(x) for x in row] for row in rows]
    report.append({"title": title, "header": header, "rows": rows, "note": note})
    text = f"## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}\n"
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows) + (f"\n{note}\n" if note else "")
    print(text, flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "report.json").write_text(json.dumps(report, indent=1))
    with (OUT / "report.md").open("w" if len(report) == 1 else "a") as file:
        file.write(text + "\n")


def spread(values, digits=3):
    """min / median / max."""
    return " / ".join(f"{v:.{digits}g}" for v in (min(values), float(np.median(values)), max(values)))


def in_turn(runs, repeats=5):
    """Seconds of every run, timed in turn; each was run once before."""
    for run in runs.values():
        jax.block_until_ready(run())
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def child(code, *args, cache=None):
    """The last line a fresh process prints, as JSON.  `cache` is a folder where JAX keeps what it compiled."""
    env = dict(os.environ)
    if cache:
        env |= {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def machine():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line] if os.path.exists("/proc/cpuinfo") else []
    a = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    rate = 2 * 2048**3 / in_turn({"product": lambda: product(a)})["product"] / 1e9
    rows = [["processor", f"{model[0] if model else platform.processor()}, {os.cpu_count()} cores"], ["device", jax.devices()[0].device_kind],
            ["Python", platform.python_version()], ["GFLOP/s of a 2048 x 2048 product (min / median / max)", spread(rate)]]
    rows += [[name, importlib.metadata.version(name)] for name in ("jax", "equinox", "optax")]
    section("Machine", ["what", "value"], rows)


COLD = """
import json, sys, time
import jax, jitlib
from jitlib import experiment
D, seed, steps = map(int, sys.argv[1:])
setting, keys = jitlib.recipe(D, num_steps=steps), experiment.Keys.of(seed)
seconds = []
for _ in range(2):
    start = time.perf_counter()
    sets, models, losses = experiment._train([setting], [keys], False, None)
    seconds.append(time.perf_counter() - start)
run = experiment._measure(setting, seed, keys, sets[0], models[0], losses[0])
print(json.dumps([*seconds, run.in_plane]))
"""


def to_quality(seeds=5, budgets=(500, 250)):
    """Time until x-prediction is as good as after the notebook's 18,000 steps: the recipe as it stands, and half of its steps.

    Cold: the first call of a process, compilation included.  Cached: the same, where an earlier process left its compilations
    on the disk.  Warm: a second call in the same process.
    """
    key, data = jax.random.PRNGKey(42), swiss_roll(jax.random.key(0))
    for (D, name), expected in LOSSES.items():
        found = notebook.fast(key, orthonormal(key, D), data, name, 2)[1]
        if not np.allclose(found, expected, rtol=1e-3):
            raise AssertionError(f"the baseline's losses at D = {D}, {name} are {found}; the notebook's are {expected}")
    rows, medians, starts = [], {}, []
    for D, target in TARGET.items():
        steps, found = [], {budget: [] for budget in budgets}
        for seed in range(seeds):
            stamps = []
            notebook.fast(key, orthonormal(key, D), data, "x", 5, lambda value: stamps.append((float(value), time.perf_counter())))
            steps.append(float(np.median(np.diff([s for _, s in stamps]))) / notebook.NUM_BATCHES)
            for budget in budgets:
                cold, warm, quality = child(COLD, D, seed, budget)
                cached = min(child(COLD, D, seed, budget, cache=OUT / "cache")[0] for _ in range(1 if seed else 2))  # the first fills the folder
                found[budget].append((cold, cached, warm, quality))
        whole = 18_000 * np.array(steps)
        for budget, runs in found.items():
            *seconds, quality = np.array(runs).T
            ratios = [whole / s for s in seconds]
            for name, ratio in zip(("cold", "cached", "warm"), ratios):
                medians.setdefault((budget, name), []).append(float(np.median(ratio)))
            rows.append([D, spread(1e3 * np.array(steps)), budget, *map(spread, seconds), spread(quality), target,
                         f"{sum(quality <= target)} of {seeds}", *map(spread, ratios)])  # fmt: skip
            starts.append(np.median(seconds[0] - seconds[2]))
    means = [f"{budget} steps {name} {np.exp(np.mean(np.log(values))):.0f}" for (budget, name), values in medians.items()]
    note = f"Geometric means of the median ratios: {', '.join(means)}. Cold less warm, the price of tracing and compiling: {spread(starts)} s."
    section("Time to the notebook's own quality, x-prediction", ["D", "notebook, ms a step", "steps", "cold, s", "cached, s", "warm, s", "in-plane distance",
            "notebook's", "seeds that reach it", "18,000 notebook steps / cold", "/ cached", "/ warm"], rows, note)  # fmt: skip


FIGURE = """
import json, time
start = time.perf_counter()
import jax, jitlib
from jitlib import experiment
traces, real = [], jitlib.loss.FlowLoss.__call__
def counted(self, model, key, x):
    traces.append(x.shape)
    return real(self, model, key, x)
jitlib.loss.FlowLoss.__call__ = counted
spent, real_train = [], experiment._train
def train(*args):
    begin = time.perf_counter()
    out = real_train(*args)
    spent.append(time.perf_counter() - begin)
    return out
experiment._train = train
runs = jitlib.sweep([jitlib.recipe(D, name) for D in (2, 8, 16, 32, 128, 512) for name in jitlib.TARGETS], seeds=(0,))
print(json.dumps([time.perf_counter() - start, sum(spent), len(traces), len(runs)]))
"""


def figure(repeats=3):
    found = [child(FIGURE) for _ in range(repeats)]
    total, train, traces, models = (np.array(column) for column in zip(*found))
    section("The whole figure from a cold process", ["models", "traces of the training step", "seconds", "of which training", "of which sampling, measuring, importing"],
            [[models[0], traces[0], spread(total), spread(train), spread(total - train)]])  # fmt: skip


def products(D, batch, steps):
    """The matrix products of `steps` training steps and nothing else: forwards, and backwards for weights and for inputs."""
    sizes = [D + 1, 256, 256, 256, 256, D]
    weights = [0.1 * jax.random.normal(jax.random.key(i), pair) for i, pair in enumerate(zip(sizes[:-1], sizes[1:]))]

    @jax.jit
    def run(weights, x):
        def body(weights, _):
            ys = [x]
            for w in weights:
                ys.append(ys[-1] @ w)
            g, changes = ys[-1], []
            for w, y in zip(weights[::-1], ys[-2::-1]):
                changes.append(y.T @ g)
                g = g @ w.T if w is not weights[0] else g
            return [w - 1e-12 * c for w, c in zip(weights, changes[::-1])], None

        return jax.lax.scan(body, weights, None, steps)[0]

    return lambda: run(weights, jnp.ones((batch, D + 1)))


def one_model(D, batch, steps, width=256, **loss):
    keys = experiment.Keys.of(0)
    data = Embedded(swiss_roll(keys.data), orthonormal(keys.basis, D))
    model = MLP(keys.model, D, width)
    return lambda: fit(keys.train, model, data, FlowLoss(X, **loss), steps, batch)[1]


def efficiency():
    rows = []
    for batch in (256, 1024):
        for D in (2, 512):
            count = 100 if batch == 256 else 40
            runs = {"bound": products(D, batch, count), "step": one_model(D, batch, count), "mean": one_model(D, batch, count, mean_target=True)}
            s = in_turn(runs)
            rows.append([D, batch, *(spread(1e3 * s[name] / count) for name in runs), *(spread(100 * s["bound"] / s[name], 2) for name in ("step", "mean"))])
    section("Step efficiency", ["D", "batch", "matrix products alone, ms", "step, ms", "step with mean target, ms", "bound / step, %", "bound / step with mean target, %"], rows)


def peers(count=27):
    key, data = jax.random.PRNGKey(42), swiss_roll(jax.random.key(0))
    python = OUT / "torch" / "bin" / "python"
    worker = None
    if python.exists():
        worker = subprocess.Popen([python, Path(__file__).with_name("torch_worker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(mode, D, batch):
        worker.stdin.write(f"{mode} {D} {batch} {count}\n")
        worker.stdin.flush()
        return float(worker.stdout.readline().split()[0])

    rows = []
    for D in (2, 512):
        ours = one_model(D, 1024, count)
        ours()
        found = {name: [] for name in ("jitlib", "notebook, fast", "notebook, slow", *(("PyTorch, eager", "PyTorch, compiled") if worker else ()))}
        for _ in range(5):
            start = time.perf_counter()
            ours()
            found["jitlib"].append(1e3 * (time.perf_counter() - start) / count)
            for name, loop in (("notebook, fast", notebook.fast), ("notebook, slow", notebook.slow)):
                stamps = []
                loop(key, orthonormal(key, D), data, "x", 4, lambda value: stamps.append((float(value), time.perf_counter())))
                found[name].append(1e3 * float(np.median(np.diff([s for _, s in stamps]))) / notebook.NUM_BATCHES)
            if worker:
                for mode in ("eager", "compiled"):
                    found[f"PyTorch, {mode}"].append(ask(mode, D, 1024))
        base = np.array(found["jitlib"])
        rows += [[D, name, spread(values), spread(np.array(values) / base)] for name, values in found.items()]
    if worker:
        worker.stdin.close()
        worker.wait()
    section("Against what one might use instead, batch 1,024", ["D", "what", "ms a step", "times jitlib's"], rows, "" if worker else "PyTorch was not installed.")


SAMPLE = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[2])
import jax, jitlib, notebook
from jitlib import TARGETS
key, n, D = jax.random.key(0), 10_000, 512
noise = jax.block_until_ready(jax.random.normal(key, (n, D)))
if sys.argv[1] == "jitlib":
    model = jitlib.MLP(key, D)
    run = lambda: jitlib.sample(key, model, TARGETS["x"], n, D, num_steps=50)
else:
    model = notebook.MLP(key, D)
    run = lambda: notebook.sample(model, noise, "x")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, times = peak(), []
for _ in range(2):
    start = time.perf_counter()
    jax.block_until_ready(run())
    times.append(time.perf_counter() - start)
print(json.dumps([times[0], times[1], peak() - before]))
"""


def sampling(repeats=3):
    rows = {"jitlib, 50 Heun steps": [], "notebook, 100 Euler steps, all states kept": []}
    for _ in range(repeats):
        for name in rows:
            rows[name].append(child(SAMPLE, name.split(",")[0], Path(__file__).parent))
    table = [[name, *(spread([v[i] for v in values]) for i in range(3))] for name, values in rows.items()]
    section("Sampling 10,000 points at D = 512", ["what", "first call, s", "second call, s", "memory above the start, MiB"], table)
    (run,) = jitlib.sweep([recipe(16)], seeds=(0,))
    key = jax.random.key(1)
    draw = lambda n, step: jitlib.sample(key, run.model, TARGETS["x"], 2000, 16, num_steps=n, step=step)
    exact = draw(800, jitlib.heun_step)
    error = lambda z: f"{jitlib.rms(z - exact):.2g}"
    table = [[2 * n, error(draw(2 * n, jitlib.euler_step)), error(draw(n, jitlib.heun_step))] for n in (4, 8, 16, 25, 50, 100)]
    section("Error against network calls, D = 16", ["network calls", "Euler", "Heun"], table, "Root-mean-square distance to the end points of 800 Heun steps from the same noise.")


def exponent(xs, seconds):
    """The slope of log time over log size between the two largest sizes."""
    return f"{np.log(seconds[-1] / seconds[-2]) / np.log(xs[-1] / xs[-2]):.2f}"


def growth(count=40):
    rows = []
    for name, sizes, make in (
        ("D", (2, 32, 128, 512, 1024), lambda D: one_model(D, 256, count)),
        ("width", (64, 128, 256, 512), lambda w: one_model(16, 256, count, w)),
        ("batch", (64, 256, 1024, 2048), lambda b: one_model(16, b, count)),
        ("models at once", (1, 3, 9, 27), lambda s: many(s, count)),
    ):
        found = in_turn({size: make(size) for size in sizes}, 3)
        ms = [1e3 * float(np.median(found[size])) / count for size in sizes]
        rows.append([name, ", ".join(map(str, sizes)), ", ".join(f"{m:.3g}" for m in ms), exponent(sizes, ms)])
    section("Growth of a step (D = 16, width 256, batch 256, one model, unless varied)", ["varied", "sizes", "ms a step (median)", "last exponent"], rows)


def many(number, count):
    keys = [experiment.Keys.of(seed) for seed in range(number)]
    sets = stack([Embedded(swiss_roll(k.data), orthonormal(k.basis, 16)) for k in keys])
    models, losses = stack([MLP(k.model, 16) for k in keys]), stack([FlowLoss(X)] * number)
    return lambda: fit(jnp.stack([k.train for k in keys]), models, sets, losses, count, 256, jnp.full(number, 5e-3))[1]


if __name__ == "__main__":
    parts = {f.__name__: f for f in (machine, to_quality, figure, efficiency, peers, sampling, growth)}
    for name in sys.argv[1:] or parts:
        if name not in parts:
            raise SystemExit(f"unknown part {name!r}; expected one of {', '.join(parts)}")
        parts[name]()
    print(f"written: {OUT / 'report.md'}")
