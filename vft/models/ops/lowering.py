"""The choice of a platform, for a function and its gradient."""
import functools
from collections.abc import Callable

import jax
from jax import lax


def lowering(forward: Callable, backward: Callable, library: Callable) -> Callable:
  """f(how, *arrays): on a CPU `forward(*arrays, *how)` with the gradients `backward(*arrays, g, *how)`, else `library`.

  Autodiff through `platform_dependent` would keep what every platform's branch needs.
  """
  @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
  def f(how, *arrays):
    return lax.platform_dependent(*arrays, cpu=lambda *a: forward(*a, *how), default=lambda *a: library(*a, *how))

  def slopes(how, arrays, g):
    def of_library(*arrays):
      return jax.vjp(lambda *a: library(*a, *how), *arrays[:-1])[1](arrays[-1])
    return lax.platform_dependent(*arrays, g, cpu=lambda *a: backward(*a, *how), default=of_library)
  f.defvjp(lambda how, *arrays: (f(how, *arrays), arrays), slopes)
  return f
