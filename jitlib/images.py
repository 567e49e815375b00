"""Small images that ship with scikit-learn, and images as patches (chapters 11 and 12)."""

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float
from sklearn import datasets

from jitlib import check


def grid(shape: tuple[int, int, int], patch: int) -> tuple[int, int]:
    """How many rows and columns of patches an image of `shape` (H, W, C) has.

    Raises ValueError on sizes that are not integers, at least 1, and where the patch does not divide the image.
    """
    if len(shape) != 3:
        raise ValueError(f"the image has shape {tuple(shape)}; expected (H, W, C)")
    height, width, channels = shape
    check.count(height=height, width=width, channels=channels, patch=patch)
    if height % patch or width % patch:
        raise ValueError(f"the image has {height} x {width} pixels and the patch is {patch}; expected a patch that divides both sides")
    return height // patch, width // patch


def patchify(image: Float[Array, "..."], patch: int) -> Float[Array, "N P"]:
    """The image (H, W, C) cut into squares of patch x patch pixels, row by row: N = H W / patch^2 vectors of P = patch^2 C numbers.

    Raises ValueError on another shape, and where the patch does not divide the image.  Chapter 12.
    """
    rows, columns = grid(image.shape, patch)
    blocks = image.reshape(rows, patch, columns, patch, -1)
    return blocks.swapaxes(1, 2).reshape(rows * columns, -1)


def unpatchify(patches: Float[Array, "..."], shape: tuple[int, int, int], patch: int) -> Float[Array, "H W C"]:
    """The image of `shape` (H, W, C) whose patches (N, P) these are: the inverse of `patchify`.

    Raises ValueError on another shape of the patches, and where the patch does not divide the image.
    """
    rows, columns = grid(shape, patch)
    wanted = rows * columns, patch * patch * shape[2]
    if patches.shape != wanted:
        raise ValueError(f"the patches have shape {patches.shape}; expected {wanted}")
    return patches.reshape(rows, columns, patch, patch, shape[2]).swapaxes(1, 2).reshape(shape)


def digits(side: int = 32) -> tuple[Float[Array, "1797 D"], Float[Array, "1797 10"]]:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8 x 8 to side x side pixels by cubic interpolation.

    Returns rows of D = side^2 numbers in [-1, 1] (-1 is paper, 1 is ink), and their classes, one-hot, of shape (1797, 10).
    But for clipping the rows span 64 dimensions.  Raises ValueError on a side under 8.
    """
    check.count(8, side=side)
    found = datasets.load_digits()
    images = jax.image.resize(jnp.asarray(found.images / 8 - 1, jnp.float32), (len(found.images), side, side), "cubic")
    return jnp.clip(images, -1, 1).reshape(len(images), -1), jax.nn.one_hot(found.target, 10)


def photograph_patches(key, num_patches: int, side: int) -> Float[Array, "n P"]:
    """Square pieces from random places of scikit-learn's two sample photographs, as rows of P = 3 side^2 numbers in [-1, 1].

    Raises ValueError where num_patches or side is not an integer, at least 1, or side larger than the photographs.
    """
    check.count(num_patches=num_patches, side=side)
    photos = np.stack(datasets.load_sample_images().images) / 127.5 - 1
    if side > min(photos.shape[1:3]):
        raise ValueError(f"side is {side}; expected at most {min(photos.shape[1:3])}, the height of the photographs")
    limits = jnp.array([len(photos), photos.shape[1] - side + 1, photos.shape[2] - side + 1])
    corners = np.asarray(jax.random.randint(check.key(key), (num_patches, 3), 0, jnp.broadcast_to(limits, (num_patches, 3))))
    return jnp.asarray(np.stack([photos[i, r : r + side, c : c + side].ravel() for i, r, c in corners]), jnp.float32)
