"""For every test: no shape is broadcast to another rank.  With TYPES=1 the annotations of the library are checked as well.

`make test` sets TYPES=1 and runs test_bad_inputs.py and test_exercises.py apart: there the
library's own errors must speak, and a reader may pass a NumPy array where JAX's is annotated.
"""
import os

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
if os.environ.get("TYPES"):
    from jaxtyping import install_import_hook

    install_import_hook("jitlib", "precision.checked")  # before anything imports jitlib
    collect_ignore = ["test_bad_inputs.py", "test_exercises.py"]
