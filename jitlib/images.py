"""Small images that ship with scikit-learn, and images as vectors: patches, labels (chapters 11 and 12)."""

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float
from sklearn import datasets

from jitlib import check


def _divides(height: int, width: int, patch: int) -> None:
    check.count(patch=patch)
    if height % patch or width % patch:
        raise ValueError(f"the image has {height} x {width} pixels and the patch is {patch}; expected a patch that divides both sides")


def patchify(image: Float[Array, "H W C"], patch: int) -> Float[Array, "N P"]:
    """The image cut into squares of patch x patch pixels, row by row: N = H W / patch^2 vectors of P = patch^2 C numbers.

    Raises ValueError where the patch does not divide the image.  Chapter 12.
    """
    height, width, channels = image.shape
    _divides(height, width, patch)
    blocks = image.reshape(height // patch, patch, width // patch, patch, channels)
    return blocks.swapaxes(1, 2).reshape(-1, patch * patch * channels)


def unpatchify(patches: Float[Array, "N P"], shape: tuple[int, int, int], patch: int) -> Float[Array, "H W C"]:
    """The image of `shape` (H, W, C) whose patches these are: the inverse of `patchify`."""
    height, width, channels = shape
    _divides(height, width, patch)
    blocks = patches.reshape(height // patch, width // patch, patch, patch, channels)
    return blocks.swapaxes(1, 2).reshape(shape)


def digits(side: int = 32) -> tuple[Float[Array, "1797 D"], Float[Array, "1797 10"]]:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8 x 8 to side x side pixels by cubic interpolation.

    Returns rows of D = side^2 numbers in [-1, 1] (paper white 1 is ink), and their classes, one-hot.
    """
    check.count(8, side=side)
    found = datasets.load_digits()
    images = jax.image.resize(jnp.asarray(found.images / 8 - 1, jnp.float32), (len(found.images), side, side), "cubic")
    return jnp.clip(images, -1, 1).reshape(len(images), -1), jax.nn.one_hot(found.target, 10)


def photograph_patches(key, num_patches: int, side: int) -> Float[Array, "n P"]:
    """Square pieces from random places of scikit-learn's two sample photographs, as rows of P = 3 side^2 numbers in [-1, 1]."""
    check.count(num_patches=num_patches, side=side)
    photos = np.stack(datasets.load_sample_images().images) / 127.5 - 1
    if side > min(photos.shape[1:3]):
        raise ValueError(f"side is {side}; expected at most {min(photos.shape[1:3])}, the height of the photographs")
    limits = jnp.array([len(photos), photos.shape[1] - side + 1, photos.shape[2] - side + 1])
    corners = np.asarray(jax.random.randint(check.key(key), (num_patches, 3), 0, jnp.broadcast_to(limits, (num_patches, 3))))
    return jnp.asarray(np.stack([photos[i, r : r + side, c : c + side].ravel() for i, r, c in corners]), jnp.float32)


class Labelled(eqx.Module):
    """Rows x of shape (n, D) with labels of shape (n, C); indexing gives both.  What `Conditional` trains on."""

    points: Float[Array, "n D"]
    labels: Float[Array, "n C"]

    def __check_init__(self):
        if self.points.shape[:-1] != self.labels.shape[:-1]:
            raise ValueError(f"the points have shape {self.points.shape} and the labels {self.labels.shape}; expected as many labels as points")

    def __len__(self) -> int:
        return self.points.shape[0]

    def __getitem__(self, index):
        return self.points[index], self.labels[index]
