"""How exactly the tests compute, and how strictly the library's annotations are read."""
import jax
from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int may stand where a float is annotated


def double():
    """A context in which JAX computes in double precision; the name moved between releases."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()
