"""The small JiT: its parts, its label, guidance."""
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jitlib import EPS, V, X, Conditional, FlowLoss, Guided, Labelled, Skip, convert, fit
from jitlib.images import patchify, unpatchify
from jitlib.transformer import Block, JiT, modulated, rms_norm, waves

KEYS = jax.random.split(jax.random.key(12), 6)
SHAPE, NONE = (8, 8, 1), jnp.zeros(3)
close = lambda a, b, tol=1e-5: np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@eqx.filter_jit
def small():
    return JiT(KEYS[0], SHAPE, 4, classes=3, width=16, depth=2, heads=2, bottleneck=8)


@eqx.filter_jit
def block():
    return Block(KEYS[0], 16, 2)


def random(make):
    """The network that `make` makes, with all its weights drawn, those that start at zero too."""
    draw = np.random.default_rng(1)
    weight = lambda a: a if callable(a) else jnp.asarray(0.3 * draw.standard_normal(a.shape), a.dtype)
    return jax.tree.map(weight, eqx.filter_eval_shape(make))


say = eqx.filter_jit(lambda model, *inputs: model(*inputs))  # compiled once for a network


def test_a_new_network_says_zero_and_a_new_block_changes_nothing():
    z = jax.random.normal(KEYS[2], (64,))
    assert (say(small(), z, jnp.asarray(0.3), NONE) == 0).all()
    tokens, condition = jax.random.normal(KEYS[3], (4, 16)), jax.random.normal(KEYS[4], (16,))
    assert (say(block(), tokens, condition) == tokens).all()
    assert (say(random(block), tokens, condition) != tokens).all()


def test_rms_norm_has_unit_mean_square_and_ignores_scale():
    x = jax.random.normal(KEYS[2], (5, 16))
    close((rms_norm(x) ** 2).mean(-1), jnp.ones(5), 1e-4)
    close(rms_norm(7 * x), rms_norm(x), 1e-4)


def test_attention_is_softmax_of_normed_queries_and_keys():
    new, tokens = random(block), np.asarray(jax.random.normal(KEYS[3], (4, 16)))
    q, k, v = np.split(tokens @ np.asarray(new.qkv.weight).T, 3, -1)
    heads = []
    for head in (slice(0, 8), slice(8, 16)):
        score = np.asarray(rms_norm(jnp.asarray(q[:, head]))) @ np.asarray(rms_norm(jnp.asarray(k[:, head]))).T / 8**0.5
        heads.append(np.exp(score) / np.exp(score).sum(1, keepdims=True) @ v[:, head])
    close(new.attention(jnp.asarray(tokens)), np.concatenate(heads, 1) @ np.asarray(new.out.weight).T, 1e-4)


def test_swiglu_by_hand():
    new, tokens = random(block), jax.random.normal(KEYS[3], (4, 16))
    gate, value = jnp.split(tokens @ new.up.weight.T, 2, -1)
    close(new.swiglu(tokens), (gate / (1 + jnp.exp(-gate)) * value) @ new.down.weight.T, 1e-4)


def test_a_block_by_hand():
    new, tokens, condition = random(block), jax.random.normal(KEYS[3], (4, 16)), jax.random.normal(KEYS[4], (16,))
    shift, scale, gate, shift_2, scale_2, gate_2 = jnp.split(new.modulation.weight @ condition + new.modulation.bias, 6)
    close(modulated(tokens, shift, scale), rms_norm(tokens) * (1 + scale)[None] + shift[None])
    between = tokens + gate[None] * new.attention(rms_norm(tokens) * (1 + scale)[None] + shift[None])
    close(new(tokens, condition), between + gate_2[None] * new.swiglu(rms_norm(between) * (1 + scale_2)[None] + shift_2[None]), 1e-4)


def test_positions_are_waves_of_row_and_column():
    at = jnp.array([0.0, 1.0, 5.0])
    speeds = [1, 10**-0.5, 0.1]  # three frequencies from 1 down to a tenth
    close(waves(at, 6, 10.0), np.stack([np.sin(s * at) for s in speeds] + [np.cos(s * at) for s in speeds], 1))
    wide = eqx.filter_eval_shape(lambda: JiT(KEYS[0], (8, 12, 1), 4, classes=3, width=16, depth=1, heads=2))  # no weight has a say in it
    places = np.asarray(wide.positions()).reshape(2, 3, 2, 8)  # (row, column, which, wave)
    for row in range(2):
        for column in range(3):
            close(places[row, column], np.stack([waves(jnp.float32(n), 8, 100.0) for n in (row, column)]))


def test_the_output_depends_on_time_label_and_place():
    model, z, t = random(small), jax.random.normal(KEYS[2], (64,)), jnp.asarray(0.3)
    y = say(model, z, t, NONE)
    assert jnp.abs(say(model, z, t + 0.1, NONE) - y).max() > 1e-3 and jnp.abs(say(model, z, t, jnp.eye(3)[1]) - y).max() > 1e-3
    turned = lambda z: unpatchify(patchify(z.reshape(SHAPE), 4)[jnp.array([1, 0, 2, 3])], SHAPE, 4).ravel()
    assert jnp.abs(turned(say(model, turned(z), t, NONE)) - y).max() > 1e-3


def test_every_token_writes_its_own_patch():
    model = eqx.tree_at(lambda m: (m.head.weight, m.head.bias), random(small), (jnp.zeros((16, 16)), jnp.arange(16.0)))
    image = say(model, jax.random.normal(KEYS[2], (64,)), jnp.asarray(0.3), NONE).reshape(SHAPE)
    assert (patchify(image, 4) == jnp.arange(16.0)[None]).all()


def test_every_token_looks_at_every_patch():
    J = jax.jit(jax.jacfwd(random(small)))(jax.random.normal(KEYS[2], (64,)), jnp.asarray(0.3), NONE)
    blocks = jax.vmap(lambda row: patchify(row.reshape(SHAPE), 4))(J)  # (output pixel, input patch, its pixels)
    assert (np.abs(blocks).max(-1) > 1e-6).all()


def test_training_on_labels_lowers_the_loss_and_the_label_is_used():
    labels = jnp.eye(3)[jnp.arange(300) % 3]
    points = jnp.where(labels @ jnp.array([[-1.0], [0.0], [1.0]]) > 0, 0.8, -0.8) * jnp.ones((300, 64))
    model, losses = fit(KEYS[3], small(), Labelled(points, labels), Conditional(FlowLoss(X)), 150, 32, 5e-3)
    assert losses[-20:].mean() < 0.3 * losses[:5].mean()
    said = [float(say(model, jnp.zeros(64), jnp.asarray(0.1), jnp.eye(3)[c]).mean()) for c in (0, 2)]
    assert said[0] < -0.3 and said[1] > 0.3


def test_the_conditional_loss_drops_a_share_of_the_labels_and_never_mixes_them():
    seen = []

    def spy(model, key, x, labels):
        assert (jax.random.key_data(key) != jax.random.key_data(KEYS[4])).any()  # what drops and what the loss draws are two things
        seen.append((np.asarray(x), np.asarray(labels)))
        return jnp.mean(x)

    x = jnp.arange(1.0, 2001.0)[:, None]
    labels = jnp.concatenate([x, x], 1)
    for drop in (0.0, 0.25, 1.0):
        Conditional(spy, drop)(None, KEYS[4], (x, labels))
        rows, told = seen[-1]
        assert set(np.unique(told / rows)) <= {0.0, 1.0} and abs((told == 0).mean() - drop) < 0.04
        assert (told[:, 0] == told[:, 1]).all()  # a label is dropped as a whole


def test_the_flow_loss_tells_each_example_its_own_label():
    x, labels = jax.random.normal(KEYS[2], (5, 64)), jnp.eye(3)[jnp.array([0, 1, 2, 0, 1])]
    told = lambda z, t, label: label @ jnp.array([1.0, 2.0, 3.0]) * jnp.ones(64) * t
    t = FlowLoss(X).times(jax.random.split(KEYS[3])[0], (5,))
    wanted = jnp.mean(((labels @ jnp.array([1.0, 2.0, 3.0]) * t)[:, None] - x) ** 2)
    close(FlowLoss(X, X, floor=0.0)(told, KEYS[3], x, labels), wanted)


def test_guidance_is_affine_in_the_velocity_and_keeps_to_its_interval():
    model, label = lambda z, t, label: jnp.sin(3 * z + 5 * t + label @ jnp.arange(192.0).reshape(3, 64)), jnp.eye(3)[1]
    z, t = jax.random.normal(KEYS[2], (64,)), jnp.asarray(0.45)
    close(Guided(model, label)(z, t), model(z, t, label))
    close(Guided(model, label, 3.0, 0.6)(z, t), model(z, t, label))
    close(Guided(model, label, 3.0, 0.1, 0.4)(z, t), model(z, t, label))
    close(Guided(model, label, 0.0)(z, t), model(z, t, NONE))
    told, untold = model(z, t, label), model(z, t, NONE)
    assert jnp.abs(told - untold).max() > 1e-3
    for target in (X, EPS, V):
        speed = lambda y: convert(y, z, t, target, V)
        close(speed(Guided(model, label, 3.0)(z, t)), speed(untold) + 3 * (speed(told) - speed(untold)), 1e-3)


def test_a_skip_hands_the_label_to_the_network():
    model, z, t, label = random(small), jax.random.normal(KEYS[2], (64,)), jnp.asarray(0.4), jnp.eye(3)[2]
    close(say(Skip(model, lambda t: 2 * t, lambda t: 3.0), z, t, label), 0.8 * z + 3 * say(model, z, t, label))
