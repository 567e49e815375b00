"""Patches and small images."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitlib.images import Labelled, digits, patchify, photograph_patches, unpatchify


@given(rows=st.integers(1, 3), columns=st.integers(1, 3), patch=st.integers(1, 4), channels=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_patches_are_squares_in_reading_order_and_put_together_again(rows, columns, patch, channels):
    shape = (rows * patch, columns * patch, channels)
    image = jax.random.normal(jax.random.key(0), shape)
    patches = patchify(image, patch)
    assert patches.shape == (rows * columns, patch**2 * channels)
    for n, (r, c) in enumerate(np.ndindex(rows, columns)):
        assert (patches[n] == image[r * patch : (r + 1) * patch, c * patch : (c + 1) * patch].ravel()).all()
    assert (unpatchify(patches, shape, patch) == image).all()


def test_digits_are_the_ones_of_scikit_learn_enlarged():
    from sklearn.datasets import load_digits

    images, labels = digits(32)
    assert images.shape == (1797, 1024) and labels.shape == (1797, 10) and float(jnp.abs(images).max()) <= 1
    assert (labels.argmax(1) == load_digits().target).all() and (labels.sum(1) == 1).all()
    small = images.reshape(-1, 8, 4, 8, 4).mean((2, 4))
    assert np.corrcoef(small.ravel(), load_digits().images.ravel())[0, 1] > 0.97


def test_photograph_patches_are_pieces_of_the_photographs():
    from sklearn.datasets import load_sample_images

    photos = np.stack(load_sample_images().images)
    patches = photograph_patches(jax.random.key(0), 50, 4)
    assert patches.shape == (50, 48) and (patches != photograph_patches(jax.random.key(1), 50, 4)).any()
    pixels = np.round((np.asarray(patches[0]) + 1) * 127.5).astype(np.uint8).reshape(4, 4, 3)
    windows = np.lib.stride_tricks.sliding_window_view(photos, (4, 4), (1, 2))  # (2, rows, columns, 3, 4, 4)
    assert (windows == pixels.transpose(2, 0, 1)).all((-1, -2, -3)).any()


def test_labelled_rows_keep_their_labels():
    data = Labelled(jnp.arange(6.0)[:, None], jnp.eye(6))
    x, label = data[jnp.array([4, 1])]
    assert len(data) == 6 and (x[:, 0] == label.argmax(1)).all()


@pytest.mark.parametrize("call, said", [
    (lambda: patchify(jnp.ones((6, 4, 1)), 4), "6 x 4 pixels and the patch is 4"),
    (lambda: patchify(jnp.ones((6, 6, 1)), 0), "patch is 0; expected an integer, at least 1"),
    (lambda: unpatchify(jnp.ones((4, 4)), (5, 4, 1), 2), "5 x 4 pixels and the patch is 2"),
    (lambda: digits(4), "side is 4; expected an integer, at least 8"),
    (lambda: photograph_patches(jax.random.key(0), 2, 1000), "side is 1000; expected at most 427"),
    (lambda: Labelled(jnp.ones((3, 2)), jnp.ones((2, 2))), r"\(3, 2\) and the labels \(2, 2\); expected as many"),
])
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
