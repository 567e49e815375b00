"""Patches and small images."""
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jitlib.images import digits, patchify, photograph_patches, unpatchify


@given(rows=st.integers(1, 3), columns=st.integers(1, 3), patch=st.integers(1, 4), channels=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_patches_are_squares_in_reading_order_and_put_together_again(rows, columns, patch, channels):
    shape = (rows * patch, columns * patch, channels)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    patches = np.asarray(patchify(jnp.asarray(image), patch))
    assert patches.shape == (rows * columns, patch**2 * channels)
    for n, (r, c) in enumerate(np.ndindex(rows, columns)):
        assert (patches[n] == image[r * patch : (r + 1) * patch, c * patch : (c + 1) * patch].ravel()).all()
    assert (np.asarray(unpatchify(jnp.asarray(patches), shape, patch)) == image).all()


def test_digits_are_the_ones_of_scikit_learn_enlarged():
    from sklearn.datasets import load_digits

    images, labels = digits(32)
    assert images.shape == (1797, 1024) and labels.shape == (1797, 10) and float(jnp.abs(images).max()) <= 1
    assert (labels.argmax(1) == load_digits().target).all() and (labels.sum(1) == 1).all()
    small = images.reshape(-1, 8, 4, 8, 4).mean((2, 4))
    assert np.corrcoef(small.ravel(), load_digits().images.ravel())[0, 1] > 0.97


def test_photograph_patches_are_pieces_of_both_photographs():
    from sklearn.datasets import load_sample_images

    photos = np.stack(load_sample_images().images)
    tall = np.asarray(photograph_patches(jax.random.key(0), 12, 427)).reshape(12, 427, 427, 3)  # as high as a photograph
    pixels = np.round((tall + 1) * 127.5).astype(np.uint8)
    found = [[(i, c) for i in range(2) for c in range(640 - 427 + 1) if (photos[i, :, c : c + 427] == piece).all()] for piece in pixels]
    assert all(len(places) == 1 for places in found) and {places[0][0] for places in found} == {0, 1}
    assert len({column for ((_, column),) in found}) > 6  # anywhere along their width
    small = photograph_patches(jax.random.key(0), 50, 4)
    assert small.shape == (50, 48) and (small != photograph_patches(jax.random.key(1), 50, 4)).any()
