"""The library of the book, in the order of its chapters."""

from jitlib import experiment, mesh, metrics, oracle, plot, setting, train
from jitlib.data import Embedded, Labelled, moons, orthonormal, swiss_roll
from jitlib.experiment import Run, sweep
from jitlib.loss import Conditional, FlowLoss
from jitlib.mesh import device_mesh
from jitlib.metrics import effective_rank, frechet, rms, sliced_wasserstein, stray, wasserstein
from jitlib.model import MLP, Guided, Skip
from jitlib.oracle import Gaussian, IdealPredictor
from jitlib.path import interpolate
from jitlib.sample import euler_step, heun_step, integrate, sample, velocity
from jitlib.setting import Setting, recipe
from jitlib.table import Row, sweep_table
from jitlib.target import EPS, TARGETS, V, X, Target, convert, determinant, recover
from jitlib.times import ClippedUniform, LogitNormal, stratified, time_grid, uniform
from jitlib.train import Diverged, fit, stack, update, warmup_cosine
