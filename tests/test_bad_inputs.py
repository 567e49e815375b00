"""Every bad input gets an error of the right type that says what was received and what was expected."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jitlib
from jitlib import EPS, MLP, V, X, Conditional, Embedded, FlowLoss, Guided, Labelled, Gaussian, IdealPredictor, LogitNormal, Setting, Target
from jitlib import convert, determinant, fit, heun_step, integrate, interpolate, moons, orthonormal, rms, sample, sliced_wasserstein
from jitlib import stray, swiss_roll, sweep, time_grid, wasserstein
from jitlib.images import digits, patchify, photograph_patches, unpatchify
from jitlib.moving import show
from jitlib.times import ClippedUniform
from jitlib.transformer import Block, JiT

KEY, NAN, INF = jax.random.key(0), float("nan"), float("inf")
ones = jnp.ones
still = lambda z, t, *given: z * 0
NOISE = jax.random.normal(KEY, (300, 768))


def train(key=KEY, data=ones((3, 2)), loss=FlowLoss(X), steps=1, **rest):
    return fit(key, MLP(KEY, 2, 4, 2), data, loss, steps, **rest)


def draw(key=KEY, target=V, number=2, dim=2, **rest):
    return sample(key, still, target, number, dim, **rest)


def stacked(number):
    return jitlib.stack([MLP(KEY, 2, 4, 2)] * number)


def stacked_loss(number):
    return jitlib.stack([FlowLoss(X)] * number)


BAD = {
    # path and target
    "t of the wrong shape": (lambda: interpolate(ones((4, 3)), ones((4, 3)), ones((4, 1))), r"t has shape \(4, 1\); expected \(\) or the leading axes of the data's shape \(4, 3\)"),
    "x and eps differ": (lambda: interpolate(ones(3), ones(2), 0.5), r"\(3,\) and eps has shape \(2,\); expected the same"),
    "t above one": (lambda: interpolate(ones(2), ones(2), 1.5), r"t is 1.5; expected a number in \[0, 1\]"),
    "t below zero for one example": (lambda: interpolate(ones((2, 2)), ones((2, 2)), jnp.array([0.5, -0.25])), r"t is -0.25; expected"),
    "t is not a number": (lambda: convert(ones(2), ones(2), NAN, X, V), r"t is nan; expected a number in \[0, 1\]"),
    "y and z differ": (lambda: convert(ones(3), ones(2), 0.5, X, V), r"shape \(3,\) and z has shape \(2,\); expected the same"),
    "x at t = 1": (lambda: convert(ones(2), ones(2), 1.0, X, V), "determinant 0 at t = 1; expected another time, or a floor above 0"),
    "eps at t = 0 for one example": (lambda: convert(ones((2, 2)), ones((2, 2)), jnp.array([0.5, 0.0]), EPS, V), "determinant 0 at t = 0"),
    "a name for a target": (lambda: convert(ones(2), ones(2), 0.5, "x", V), "the target is 'x'; expected a Target, such as jitlib.X"),
    "a bare pair for a target": (lambda: convert(ones(2), ones(2), 0.5, X, (1, -1)), r"the target is \(1, -1\); expected a Target"),
    "negative floor": (lambda: determinant(X, 0.5, -0.1), r"floor is -0.1; expected a number in \[0, \d.*e\+\d+\]"),
    "unknown target": (lambda: jitlib.target.named("y"), "unknown target 'y'; expected one of x, eps, v"),
    "integers on the path": (lambda: interpolate(jnp.array([1, 2]), jnp.array([30, 40]), 0.5), "the data have the type int.*; expected floating-point"),
    "integers for a prediction": (lambda: convert(jnp.array([1, 2]), jnp.array([3, 4]), 0.5, X, V), "the data have the type int.*; expected floating-point"),
    "a floor without end": (lambda: determinant(X, 0.5, INF), r"floor is inf; expected a number in \[0, \d.*e\+\d+\]"),
    "a floor beyond the numbers": (lambda: determinant(X, 0.5, 10**400), r"floor is 10*; expected a number in \[0, \d.*e\+\d+\]"),
    # times
    "no steps": (lambda: time_grid(0), "num_steps is 0; expected an integer, at least 1"),
    "half a step": (lambda: time_grid(2.5), "num_steps is 2.5; expected an integer"),
    "backwards grid": (lambda: time_grid(3, 0.9, 0.1), "start is 0.9 and stop is 0.1; expected 0 <= start < stop <= 1"),
    "a grid from before": (lambda: time_grid(3, -0.5, 0.5), "start is -0.5 and stop is 0.5; expected"),
    "a grid of no length": (lambda: time_grid(3, 0.5, 0.5), "start is 0.5 and stop is 0.5; expected"),
    "grid beyond one": (lambda: time_grid(3, 0.0, 2.0), "start is 0.0 and stop is 2.0; expected"),
    "grid from nowhere": (lambda: time_grid(3, NAN, 1.0), "start is nan"),
    "bad std": (lambda: LogitNormal(0.0, 0.0), "std is 0.0; expected a positive number"),
    "bad mean": (lambda: LogitNormal(NAN, 1.0), "mean is nan; expected"),
    "mean without end": (lambda: LogitNormal(INF, 1.0), r"mean is inf; expected a number in \[-\d"),
    "std without end": (lambda: LogitNormal(0.0, INF), r"std is inf; expected a number in \[-\d"),
    "clipped the wrong way": (lambda: ClippedUniform(0.9, 0.1), "low is 0.9 and high is 0.1; expected low <= high"),
    "clipped outside": (lambda: ClippedUniform(-0.1, 0.9), r"low is -0.1; expected a number in \[0, 1\]"),
    # loss
    "loss of a name": (lambda: FlowLoss("x"), "prediction is 'x'; expected a Target"),
    "loss in a name": (lambda: FlowLoss(X, "v"), "loss is 'v'; expected a Target"),
    "loss with a negative floor": (lambda: FlowLoss(X, floor=-1.0), "floor is -1.0; expected"),
    "times that are a number": (lambda: FlowLoss(X, times=0.5), r"times is 0.5; expected a function \(key, shape\)"),
    "output of the wrong shape": (lambda: FlowLoss(X).of(ones((2, 3)), ones((2, 2)), ones((2, 2)), ones(2)), r"shape \(2, 3\), the data \(2, 2\) and eps \(2, 2\); expected the same"),
    "noise of the wrong shape": (lambda: FlowLoss(X).of(ones((2, 2)), ones((2, 2)), ones(2), ones(2)), r"data \(2, 2\) and eps \(2,\); expected the same"),
    "times of the wrong shape": (lambda: FlowLoss(X).of(ones((3, 5)), ones((3, 5)), ones((3, 5)), ones((3, 1))), r"t has shape \(3, 1\); expected"),
    "as many times as numbers": (lambda: FlowLoss(X).of(ones((3, 3)), ones((3, 3)), ones((3, 3)), ones((3, 3))), r"t has shape \(3, 3\); expected \(\) or the leading axes of the data's shape \(3,\)"),
    "a time for each number": (lambda: FlowLoss(X).of(ones(3), ones(3), ones(3), ones(3)), r"t has shape \(3,\); expected \(\)"),
    "a loss after the end": (lambda: FlowLoss(X).of(ones(2), ones(2), ones(2), 1.5), r"t is 1.5; expected a number in \[0, 1\]"),
    # model and oracle
    "no width": (lambda: MLP(KEY, 3, 0), "width is 0; expected an integer, at least 1"),
    "one layer": (lambda: MLP(KEY, 3, 4, 1), "depth is 1; expected an integer, at least 2"),
    "fractional dimension": (lambda: MLP(KEY, 2.5), "dim is 2.5; expected an integer"),
    "wrong dimension": (lambda: MLP(KEY, 3)(ones(5), jnp.asarray(0.5)), r"shape \(5,\); this model expects \(3,\)"),
    "no points": (lambda: IdealPredictor(ones((0, 2))), r"points have shape \(0, 2\)"),
    "points off the basis": (lambda: IdealPredictor(ones((5, 3)), ones((8, 2))), r"points have shape \(5, 3\) and the basis \(8, 2\)"),
    "a Gaussian of two sizes": (lambda: Gaussian(ones(3), ones(2), jnp.eye(3)), r"\(3,\), \(2,\) and \(3, 3\); expected"),
    "negative variance": (lambda: Gaussian(ones(2), jnp.array([1.0, -1.0]), jnp.eye(2)), "variances is -1.0; expected"),
    # data
    "D < d": (lambda: orthonormal(KEY, 1), "d=2 orthonormal directions in D=1"),
    "an integer for a key": (lambda: swiss_roll(0), "key is 0; expected a typed key"),
    "an array of keys": (lambda: orthonormal(jax.random.split(KEY, 3), 4), r"key has shape \(3,\); expected a single key"),
    "empty roll": (lambda: swiss_roll(KEY, 0), "num_points is 0"),
    "negative noise": (lambda: moons(KEY, 5, noise=-1.0), "noise is -1.0"),
    "points off the plane": (lambda: Embedded(ones((5, 3)), ones((8, 2))), r"\(5, 3\) and basis \(8, 2\)"),
    "a row that is not there": (lambda: Embedded(ones((3, 2)), ones((4, 2)))[3], r"index is 3; expected a number in \[-3, 2\]"),
    "rows of which one is not there": (lambda: Embedded(ones((3, 2)), ones((4, 2)))[jnp.array([0, 10])], r"index is 10; expected a number in \[-3, 2\]"),
    "a row that is not there, in a tuple": (lambda: Embedded(ones((3, 2)), ones((4, 2)))[(7,)], r"index is 7; expected a number in \[-3, 2\]"),
    # metrics
    "non-finite cloud": (lambda: rms(jnp.array([[INF, 0.0]])), "1 non-finite numbers of 2; expected none"),
    "empty cloud": (lambda: rms(ones((0, 2))), r"x is empty, of shape \(0, 2\)"),
    "cloud not in the plane": (lambda: sliced_wasserstein(ones((3, 3)), ones((3, 2))), r"\(3, 3\) and \(3, 2\)"),
    "cloud beside one not in the plane": (lambda: sliced_wasserstein(ones((3, 2)), ones((3, 3))), r"\(3, 2\) and \(3, 3\); expected"),
    "a point for a cloud": (lambda: sliced_wasserstein(ones(2), ones(2)), r"\(2,\) and \(2,\); expected \(n, 2\)"),
    "clouds and clouds": (lambda: sliced_wasserstein(ones((3, 2)), ones((3, 3, 2))), r"\(3, 2\) and \(3, 3, 2\); expected"),
    "NaN in the plane": (lambda: sliced_wasserstein(ones((1, 2)), jnp.array([[NAN, 1.0]])), "b has 1 non-finite numbers of 2; expected none"),
    "NaN in features": (lambda: jitlib.frechet(jnp.array([[NAN], [1.0]]), ones((2, 1))), "a has 1 non-finite numbers of 2; expected none"),
    "NaN among strays": (lambda: stray(jnp.array([[INF, 0.0]]), ones((3, 2)), ones((3, 2))), "cloud has 1 non-finite numbers of 2; expected none"),
    "no variance at all": (lambda: jitlib.effective_rank(jnp.zeros(3)), "all 3 variances are zero; expected at least one above zero"),
    "no direction": (lambda: sliced_wasserstein(ones((3, 2)), ones((3, 2)), 0), "num_angles is 0"),
    "clouds of two sizes": (lambda: wasserstein(ones((3, 2)), ones((4, 2))), r"\(3, 2\) and \(4, 2\); expected the same"),
    "NaN in a cloud": (lambda: wasserstein(ones((1, 2)), jnp.array([[NAN, 1.0]])), "b has 1 non-finite"),
    "stray level": (lambda: stray(ones((3, 2)), ones((3, 2)), ones((3, 2)), 1.5), "level is 1.5"),
    "stray level below zero": (lambda: stray(ones((3, 2)), ones((3, 2)), ones((3, 2)), -0.5), "level is -0.5"),
    "labels of other points": (lambda: Labelled(ones((3, 2)), ones((2, 2))), r"\(3, 2\) and the labels \(2, 2\); expected \(n, D\) and \(n, C\)"),
    "labels of flat points": (lambda: Labelled(ones(3), ones(5)), r"\(3,\) and the labels \(5,\); expected"),
    "labelled row beyond the end": (lambda: Labelled(ones((3, 2)), ones((3, 2)))[3], r"index is 3; expected a number in \[-3, 2\]"),
    "mean target with labels": (lambda: FlowLoss(X, mean_target=True)(still, KEY, ones((3, 2)), ones((3, 2))), r"mean_target is True and the model is given 1 more argument\(s\); expected mean_target=False"),
    "fewer labels than rows": (lambda: FlowLoss(X)(still, KEY, ones((3, 2)), ones((2, 2))), "the batch has 3 rows and what is given with it 2; expected as many"),
    "flat image": (lambda: patchify(ones((4, 4)), 2), r"\(4, 4\); expected \(H, W, C\)"),
    "no channels": (lambda: JiT(KEY, (8, 8, 0), 4), "channels is 0; expected an integer, at least 1"),
    "label of another length": (lambda: JiT(KEY, (8, 8, 1), 4, width=16, depth=1, heads=2)(ones(64), jnp.asarray(0.5), ones(3)), r"label has shape \(3,\); this model expects \(10,\)"),
    "heads of a block": (lambda: Block(KEY, 18, 4), "width is 18 and heads 4; expected heads that divide the width"),
    "no loss to condition": (lambda: Conditional(0.5), r"loss is 0.5; expected a function \(model, key, x, labels\)"),
    "guidance without end": (lambda: Guided(still, ones(3), NAN), "scale is nan; expected a number"),
    "guidance before time": (lambda: Guided(still, ones(3), 2.0, -0.1), r"low is -0.1; expected a number in \[0, 1\]"),
    "patch that does not divide": (lambda: patchify(ones((6, 4, 1)), 4), "6 x 4 pixels and the patch is 4; expected a patch that divides both sides"),
    "moving figure that lacks a way": (lambda: show(None, {"x": ("x", "#000000")}, {(2, "v"): None}), r"no way for \[\(2, 'x'\)\]; expected one for each of \['x'\] in each dimension"),
    "moving figure of nothing": (lambda: show(None, {"x": ("x", "#000000")}, {}), r"no way for any dimension; expected"),
    "patch of nothing": (lambda: patchify(ones((6, 6, 1)), 0), "patch is 0; expected an integer, at least 1"),
    "patches of another image": (lambda: unpatchify(ones((2, 8)), (4, 4, 1), 2), r"patches have shape \(2, 8\); expected \(4, 4\)"),
    "digits too small": (lambda: digits(4), "side is 4; expected an integer, at least 8"),
    "patch larger than a photograph": (lambda: photograph_patches(KEY, 2, 1000), "side is 1000; expected at most 427"),
    "image of another size": (lambda: JiT(KEY, (8, 8, 1), 4, width=16, depth=1, heads=2)(ones(63), jnp.asarray(0.5), ones(10)), r"\(63,\); this model expects \(64,\)"),
    "width of a JiT": (lambda: JiT(KEY, (8, 8, 1), 4, width=10, heads=2), "width is 10; expected a multiple of 4"),
    "no blocks": (lambda: JiT(KEY, (8, 8, 1), 4, depth=0), "depth is 0; expected an integer, at least 1"),
    "patch of a JiT": (lambda: JiT(KEY, (8, 8, 1), 3), "8 x 8 pixels and the patch is 3"),
    "drop": (lambda: Conditional(FlowLoss(X), 1.5), r"drop is 1.5; expected a number in \[0, 1\]"),
    "frechet of two dimensions": (lambda: jitlib.frechet(ones((3, 3)), ones((3, 2))), r"\(3, 3\) and \(3, 2\); expected \(n, k\) and \(m, k\)"),
    "frechet of a list": (lambda: jitlib.frechet(ones(3), ones((3, 2))), r"\(3,\) and \(3, 2\); expected \(n, k\) and \(m, k\)"),
    "frechet with a list": (lambda: jitlib.frechet(ones((3, 2)), ones(3)), r"\(3, 2\) and \(3,\); expected \(n, k\) and \(m, k\)"),
    "frechet of a stack": (lambda: jitlib.frechet(ones((3, 2, 2)), ones((3, 2))), r"\(3, 2, 2\) and \(3, 2\); expected \(n, k\) and \(m, k\)"),
    "frechet of one point": (lambda: jitlib.frechet(ones((1, 2)), ones((3, 2))), r"\(1, 2\) and \(3, 2\); expected .* n, m >= 2"),
    "strays of two dimensions": (lambda: stray(ones((3, 3)), ones((3, 2)), ones((3, 2))), r"\(3, 3\), \(3, 2\), \(3, 2\); expected points of one dimension"),
    "negative variances": (lambda: jitlib.effective_rank(jnp.array([1.0, -1.0])), "variances is -1.0"),
    # sample
    "no samples": (lambda: draw(number=0), "num_samples is 0; expected an integer, at least 1"),
    "sampling a name": (lambda: draw(target="v"), "prediction is 'v'; expected a Target"),
    "sampling with an integer": (lambda: draw(key=7), "key is 7; expected a typed key"),
    "sampling with many keys": (lambda: draw(key=jax.random.split(KEY)), r"key has shape \(2,\)"),
    "eps from t = 0": (lambda: draw(target=EPS, start=0.0), "knows no velocity at t = 0; expected a later start, or a floor above 0"),
    "an output of another shape": (lambda: sample(KEY, lambda z, t: ones(3), V, 2, 2), r"shape \(3,\) and z has shape \(2,\)"),
    "a grid of one time": (lambda: integrate(still, ones(2), ones(1)), r"shape \(1,\); expected \(N \+ 1,\)"),
    "a grid that falls": (lambda: integrate(still, ones(2), jnp.array([0.5, 0.2])), "expected times that grow"),
    "a grid that rests": (lambda: integrate(still, ones(2), jnp.array([0.2, 0.2])), "expected times that grow"),
    "sampling with a negative floor": (lambda: draw(target=X, floor=-0.5), "floor is -0.5; expected"),
    "keep every zeroth": (lambda: integrate(still, ones(2), jnp.array([0.0, 1.0]), heun_step, save_every=0), "save_every is 0"),
    "sampling from after the end": (lambda: draw(start=0.9, stop=0.5), "start is 0.9 and stop is 0.5; expected"),
    # train
    "training with an integer": (lambda: train(key=0), "key is 0; expected a typed key"),
    "a square of keys": (lambda: train(key=jax.random.split(KEY, (2, 2))), r"key has shape \(2, 2\); expected at most one axis"),
    "empty data": (lambda: train(data=ones((0, 2))), r"data set is empty, of shape \(0, 2\); expected at least one row and one column"),
    "a model that is lost": (lambda: fit(KEY, jax.tree.map(lambda w: w * NAN, MLP(KEY, 2, 4, 2)), ones((3, 2)), FlowLoss(X), 0), "the model has a weight that is infinite or NaN; expected finite"),
    "data of another dimension": (lambda: train(data=ones((3, 5))), r"shape \(5,\); this model expects \(2,\)"),
    "integers for data": (lambda: train(data=jnp.ones((3, 2), int)), "the data have the type int.*; expected floating-point"),
    "NaN in data": (lambda: train(data=ones((3, 2)).at[1, 0].set(NAN)), r"index \(1, 0\); expected none"),
    "no batch": (lambda: train(batch_size=0), "batch_size is 0; expected an integer, at least 1"),
    "fewer than no steps": (lambda: train(steps=-1), "num_steps is -1; expected an integer, at least 0"),
    "half a step of training": (lambda: train(steps=1.5), "num_steps is 1.5; expected an integer"),
    "rates of the wrong length": (lambda: train(steps=5, learning_rate=ones(4)), r"shape \(4,\); expected \(\) or \(5,\)"),
    "negative rate": (lambda: train(learning_rate=-1.0), "learning_rate is -1.0; expected"),
    "a rate that is not a number": (lambda: train(learning_rate=NAN), "learning_rate is nan; expected"),
    "a rate without end": (lambda: train(learning_rate=INF), r"learning_rate is inf; expected a number in \[0, \d"),
    "empty sets of data": (lambda: fit(jax.random.split(KEY, 2), stacked(2), ones((2, 0, 2)), FlowLoss(X), 1, learning_rate=ones(2)), r"empty, of shape \(2, 0, 2\); expected"),
    "fewer models than keys": (lambda: fit(jax.random.split(KEY, 3), stacked(2), ones((3, 4, 2)), stacked_loss(3), 1, learning_rate=ones(3)), r"there are 3 keys and the model has an array of shape \(2, .*\); expected 3 stacked"),
    "one data set for two keys": (lambda: fit(jax.random.split(KEY, 2), stacked(2), ones((4, 2)), stacked_loss(2), 1, learning_rate=ones(2)), r"there are 2 keys and the data has an array of shape \(4, 2\); expected 2 stacked"),
    "one loss for two keys": (lambda: fit(jax.random.split(KEY, 2), stacked(2), ones((2, 4, 2)), FlowLoss(X), 1, learning_rate=ones(2)), r"there are 2 keys and the loss has an array of shape \(\); expected 2 stacked"),
    "a loss that is a number": (lambda: train(loss=0.5), "loss is 0.5; expected a function"),
    # experiment, plot
    "setting with an unknown prediction": (lambda: Setting(2, "y"), "unknown target 'y'; expected one of x, eps, v"),
    "setting with an unknown loss": (lambda: Setting(2, loss="w"), "unknown target 'w'"),
    "setting without a dimension": (lambda: Setting(0), "dim is 0; expected an integer, at least 1"),
    "setting with a fractional batch": (lambda: Setting(2, batch_size=0.5), "batch_size is 0.5"),
    "setting of data that are a number": (lambda: Setting(2, data=3), "data is 3; expected a function"),
    "setting of a named solver": (lambda: Setting(2, solver="heun"), "solver is 'heun'; expected a function"),
    "setting of a model that is none": (lambda: Setting(2, model=None), "model is None; expected a function"),
    "setting of one time": (lambda: Setting(2, times=0.5), "times is 0.5; expected a function"),
    "setting with a negative floor": (lambda: Setting(2, floor=-1.0), "floor is -1.0; expected"),
    "setting with a rate that is not a number": (lambda: Setting(2, learning_rate=NAN), "learning_rate is nan; expected"),
    "setting that ends before it starts": (lambda: sweep([Setting(2, start=0.9, stop=0.5)]), "start is 0.9 and stop is 0.5; expected"),
    "setting of eps from t = 0": (lambda: sweep([Setting(2, "eps", start=0.0)]), "knows no velocity at t = 0; expected a later start"),
    "a table in a folder that is not there": (lambda: jitlib.sweep_table("nowhere/runs.csv", [Setting(2)]), "nowhere is not a folder; expected one for the table runs.csv"),
    "a fractional seed": (lambda: sweep([Setting(2)], seeds=(0.5,)), "seed is 0.5; expected an integer"),
    "spread of one value": (lambda: jitlib.plot.spread([1.0]), "there are 1 values; expected at least 2"),
    "a cloud for the eye that is not flat": (lambda: jitlib.plot.cloud(None, np.ones((4, 3))), r"shape \(4, 3\); expected \(n, 2\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "expect" in str(caught.value)  # what was received stands in the pattern


def test_there_are_many():
    assert len(BAD) >= 130


def test_what_is_right_is_not_refused():
    """Keys of the old kind, both ends of the times with a floor, numbers from NumPy, an index from the end."""
    old, new = jax.random.PRNGKey(3), jax.random.key(3)
    assert (sample(old, still, V, 2, 2) == sample(new, still, V, 2, 2)).all()
    assert (orthonormal(old, 4) == orthonormal(new, 4)).all()
    assert np.isfinite(convert(ones(2), ones(2), 1.0, X, V, 0.05)).all() and np.isfinite(convert(ones(2), ones(2), 0.0, EPS, X, 0.05)).all()
    assert time_grid(np.int64(3)).shape == (4,) and Embedded(ones((3, 2)), ones((4, 2)))[-1].shape == (4,)
    assert np.isfinite(draw(target=EPS, start=0.0, floor=0.1)).all()
    assert convert(ones(2), ones(2), 0.5, Target(2.0, 1.0), V).shape == (2,)
    assert ClippedUniform(0.5, 0.5)(KEY, (3,)).tolist() == [0.5] * 3
    assert Embedded(ones((3, 2)), ones((4, 2)))[jnp.array([-3, 2])].shape == (2, 4) and Embedded(ones((3, 2)), ones((4, 2)))[:2].shape == (2, 4)
    assert Setting(2, "eps", start=0.01, stop=0.9).start == 0.01
    batch = jnp.linspace(0, 1, 5)
    assert jax.jit(lambda t: convert(ones((5, 2)), ones((5, 2)), t, X, V, 0.1))(batch).shape == (5, 2)


def test_a_number_out_of_the_type_is_a_setting_error_before_any_training():
    with pytest.raises(ValueError, match="seed is -1"):
        jitlib.sweep([Setting(2)], seeds=(0, -1))
    assert LogitNormal(jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0])).mean.shape == (2,)


def test_what_does_not_divide_is_refused_before_any_training():
    one = jitlib.device_mesh(1, 1, jax.devices()[:1])
    with pytest.raises(ValueError, match=r"there are 1 devices; a mesh of 4 x 2 .* needs 8"):
        jitlib.device_mesh(4, 2, jax.devices()[:1])
    check = jitlib.mesh.check_mesh
    fake = type("Mesh", (), {"axis_names": ("models", "batch"), "shape": {"models": 8, "batch": 3}})()
    with pytest.raises(ValueError, match="9 models cannot be divided evenly over the 8 devices .*'models'; expected a multiple of 8"):
        check(fake, 9, 6)
    with pytest.raises(ValueError, match="256 examples cannot be divided evenly over the 3 devices .*'batch'"):
        check(fake, None, 256)
    with pytest.raises(ValueError, match=r"the mesh has the axes \('a', 'b'\); expected \('models', 'batch'\)"):
        check(jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("a", "b")), 1, 1)
    assert check(one, 3, 5) is None and check(None, 3, 5) is None
