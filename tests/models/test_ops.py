"""The CPU's own lowerings equal the library's, forward and backward."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from vft.models import ops
from vft.models.ops import convolution, winograd

DIMENSIONS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
RNG = np.random.default_rng(0)


def normal(*shape):
  return jnp.asarray(RNG.normal(size=shape), jnp.float32)


@pytest.mark.parametrize("size, kernel, strides, padding", [
    ((5, 9, 12), (3, 3, 3), (1, 1, 1), "SAME"),
    ((9, 8, 6), (7, 3, 3), (2, 2, 2), "SAME"),
    ((3, 5, 6), (7, 3, 1), (2, 2, 2), "SAME"),
    ((4, 8, 11), (1, 3, 5), (1, 2, 3), "SAME"),
    ((5, 9, 10), (1, 1, 1), (1, 1, 1), "SAME"),
    ((5, 9, 10), (1, 1, 1), (2, 2, 2), "SAME"),
    ((4, 8, 8), (1, 1, 1), (2, 2, 2), [(0, 0), (0, 0), (0, 0)]),  # the last pixels are in no window
    ((4, 8, 9), (3, 3, 3), (2, 2, 2), "VALID"),
    ((4, 8, 9), (3, 3, 3), (2, 2, 2), [(1, 1), (1, 1), (1, 1)]),  # torch's; SAME is (0, 1) where the size is even
    ((4, 8, 9), (1, 7, 7), (1, 2, 2), [(0, 0), (3, 3), (3, 3)]),
    ((4, 8, 9), (3, 1, 1), (2, 1, 1), [(1, 1), (0, 0), (0, 0)]),
    ((4, 8, 9), (2, 3, 4), (1, 3, 2), [(2, 0), (0, 1), (3, 2)]),
    ((4, 8, 9), (3, 2, 3), (3, 1, 1), [(4, 1), (2, 2), (0, 0)]),  # more than the kernel less one
    ((9, 12), (3, 3), (1, 1), "SAME"),
    ((9, 12), (3, 3), (2, 2), "SAME"),
    ((9, 12), (1, 1), (2, 2), ((0, 0), (0, 0))),
])
def test_convolution_by_products_equals_the_library(monkeypatch, size, kernel, strides, padding):
  monkeypatch.setattr(convolution, "SMALL", 0)
  monkeypatch.setattr(convolution, "PIECE", 1000)  # one frame or several
  check_equal(normal(2, *size, 3), normal(*kernel, 3, 4), strides, padding)


def check_equal(x, k, strides, padding):
  numbers = DIMENSIONS[k.ndim - 2]
  library = functools.partial(lax.conv_general_dilated, window_strides=strides, padding=padding,
                              dimension_numbers=numbers)
  ours = functools.partial(ops.conv, strides=strides, padding=padding, dimension_numbers=numbers)
  want = library(x, k)
  np.testing.assert_allclose(jax.jit(ours)(x, k), want, atol=1e-5 * np.abs(want).max())
  weight = normal(*want.shape)
  ours = jax.jit(jax.grad(lambda x, k: (ours(x, k) * weight).sum(), argnums=(0, 1)))(x, k)
  theirs = jax.jit(jax.grad(lambda x, k: (library(x, k) * weight).sum(), argnums=(0, 1)))(x, k)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max()), ours, theirs)


@pytest.mark.parametrize("size, kernel, padding", [
    ((3, 9, 10), (3, 3, 3), "SAME"),
    ((2, 12, 15), (1, 3, 3), [(0, 0), (1, 2), (0, 1)]),
    ((4, 11, 13), (2, 3, 3), "VALID"),
    ((10, 17), (3, 3), "SAME"),
])
def test_convolution_by_fewer_products_equals_the_library(monkeypatch, size, kernel, padding):
  monkeypatch.setattr(convolution, "SMALL", 0)
  taken, products = [], winograd.products
  monkeypatch.setattr(winograd, "products", lambda *a: taken.append(a) or products(*a))
  monkeypatch.setattr(winograd, "PIECE", 50_000)  # a frame or several
  check_equal(normal(2, *size, 32), normal(*kernel, 32, 40) / 17, (1,) * len(size), padding)
  assert taken


def test_clips_on_four_devices_equal_those_on_one(monkeypatch):
  monkeypatch.setattr(convolution, "SMALL", 0)
  x, k = normal(4, 4, 6, 5, 3), normal(3, 3, 3, 3, 4)
  step = jax.jit(jax.value_and_grad(
      lambda x, k: (ops.max_pool(ops.conv(x, k, (2, 1, 1), "SAME"), (2, 2, 2), (1, 2, 2)) ** 2).sum(), (0, 1)))
  want = step(x, k)
  mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
  apart = jax.device_put(x, jax.NamedSharding(mesh, jax.P("data")))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()),
               step(apart, k), want)


def test_a_large_convolution_takes_the_products_on_a_cpu_and_the_library_elsewhere(monkeypatch):
  x, k = normal(1, 4, 8, 8, 3), normal(3, 3, 3, 3, 4)
  run = functools.partial(ops.conv, strides=(1, 1, 1), padding="SAME", dimension_numbers=DIMENSIONS[3])
  step = jax.jit(jax.grad(lambda x, k: run(x, k).sum(), (0, 1)))
  assert "stablehlo.convolution" in step.lower(x, k).as_text()  # small
  monkeypatch.setattr(convolution, "SMALL", 0)
  jax.clear_caches()
  for platform, library in (("cpu", False), ("cuda", True), ("tpu", True)):
    assert ("stablehlo.convolution" in step.trace(x, k).lower(lowering_platforms=(platform,)).as_text()) is library


@pytest.mark.parametrize("window, strides, padding", [
    ((1, 3, 3), (1, 2, 2), "SAME"),
    ((3, 3, 3), (2, 2, 2), "SAME"),
    ((3, 3, 3), (1, 1, 1), "SAME"),
    ((2, 2, 2), (2, 2, 2), "SAME"),
    ((5, 4, 3), (2, 3, 2), "SAME"),
    ((1, 2, 2), (2, 3, 3), "VALID"),  # values that are in no window
    ((3, 3), (2, 2), ((1, 1), (1, 1))),
])
def test_max_pool_by_axis_equals_the_library_with_ties(window, strides, padding):
  x = jnp.maximum(normal(2, 5, 7, 8, 3), 0)  # many ties at zero
  x = x[:, 0] if len(window) == 2 else x
  want = nn.max_pool(x, window, strides, padding)
  weight = normal(*want.shape)
  np.testing.assert_array_equal(ops.max_pool(x, window, strides, padding), want)
  ours = jax.jit(jax.grad(lambda x: (ops.max_pool(x, window, strides, padding) * weight).sum()))
  theirs = jax.grad(lambda x: (nn.max_pool(x, window, strides, padding) * weight).sum())(x)
  np.testing.assert_allclose(ours(x), theirs, atol=1e-5)
  assert "select_and_scatter" not in ours.lower(x).as_text()
  assert "select_and_scatter" in ours.trace(x).lower(lowering_platforms=("tpu",)).as_text()
