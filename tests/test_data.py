"""The plane and its place, and the two data sets."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import double

from jitlib import Embedded, Labelled, moons, orthonormal, rms, swiss_roll

KEYS = jax.random.split(jax.random.key(0), 4)


@pytest.mark.parametrize("dim", [2, 3, 512])
def test_basis_is_orthonormal_and_lifting_loses_nothing(dim):
    """P1, P2."""
    data = Embedded(swiss_roll(KEYS[0], 50), orthonormal(KEYS[1], dim))
    assert data.basis.shape == (dim, 2) and data.dim == dim and len(data) == 50
    np.testing.assert_allclose(data.basis.T @ data.basis, np.eye(2), atol=2e-6)
    np.testing.assert_allclose(data.project(data[:]), data.points, atol=1e-5)
    lengths = lambda a: np.linalg.norm(np.asarray(a)[:, None] - np.asarray(a)[None], axis=-1)
    np.testing.assert_allclose(lengths(data[:]), lengths(data.points), atol=1e-5)
    assert rms(data.off_plane(data[:])) < 1e-5


def test_what_is_off_the_plane_is_the_rest():
    data, x = Embedded(swiss_roll(KEYS[0], 5), orthonormal(KEYS[1], 6)), jax.random.normal(KEYS[2], (4, 6))
    np.testing.assert_allclose(data.lift(data.project(x)) + data.off_plane(x), x, atol=1e-6)
    np.testing.assert_allclose(data.project(data.off_plane(x)), 0, atol=1e-6)


def test_signs_of_the_basis_are_fixed():
    """P1: the same matrix, whatever signs a QR routine prefers: R has a positive diagonal."""
    with double():
        basis = orthonormal(jax.random.key(1), 4)
        drawn = jax.random.normal(jax.random.key(1), (4, 2))
        first = drawn[:, 0] / jnp.linalg.norm(drawn[:, 0])
        second = drawn[:, 1] - first * (first @ drawn[:, 1])
        np.testing.assert_allclose(basis, jnp.stack([first, second / jnp.linalg.norm(second)], 1), atol=1e-12)


def test_bases_are_uniform():
    """Every entry squared has mean 1 / D, and no direction is preferred."""
    bases = jax.vmap(lambda key: orthonormal(key, 3, 1))(jax.random.split(KEYS[3], 4000))[..., 0]
    np.testing.assert_allclose((bases**2).mean(0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(bases.mean(0), 0, atol=0.05)


@pytest.mark.parametrize("make", [swiss_roll, moons])
def test_a_key_decides_the_data(make):
    one = make(KEYS[0], 200)
    assert one.shape == (200, 2) and one.dtype == jnp.float32
    assert (one == make(KEYS[0], 200)).all() and not (one == make(KEYS[1], 200)).all()


def test_the_roll_is_a_spiral_of_about_unit_size():
    points = np.asarray(swiss_roll(KEYS[0], 4000, noise=0.0))
    radius, angle = np.linalg.norm(points, axis=1), np.unwrap(np.sort(np.arctan2(points[:, 1], points[:, 0])))
    assert 0.45 < radius.min() < 0.5 and 1.4 < radius.max() < 1.45 and len(angle)
    t = 10 * radius
    np.testing.assert_allclose(points, np.stack([radius * np.cos(t), radius * np.sin(t)], 1), atol=1e-4)


def test_labelled_rows_keep_their_labels():
    data = Labelled(jnp.arange(6.0)[:, None], jnp.eye(6))
    x, label = data[jnp.array([4, 1])]
    assert len(data) == 6 and (x[:, 0] == label.argmax(1)).all() and data[-1][0] == 5
