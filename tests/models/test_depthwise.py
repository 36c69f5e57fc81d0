"""Depthwise convolution by shifted multiply-adds, and pointwise by a product: the library's, forward and backward."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from vft.models import make, ops
from vft.models.ops import depthwise

DIMENSIONS = {4: ("NHWC", "HWIO", "NHWC"), 5: depthwise.DIMENSIONS}
CASES = [  # ([T,] H, W), kernel, stride, padding
    ((9, 12), 3, 1, "SAME"),
    ((9, 12), 5, 1, "SAME"),
    ((9, 12), 3, 2, "SAME"),
    ((8, 7), 5, 2, "SAME"),
    ((8, 9), 5, 2, ((2, 2), (1, 3))),
    ((8, 9), 3, 2, ((1, 1), (0, 1))),
    ((7, 9), 3, 1, "VALID"),
    ((7, 9), 5, 2, "VALID"),
    ((2, 1), 5, 2, "SAME"),
    ((5, 8, 9), 3, (1, 1, 1), "SAME"),
    ((5, 8, 9), 3, (1, 2, 2), ((1, 1),) * 3),
    ((7, 6, 5), 3, (2, 1, 1), ((1, 1), (0, 1), (0, 0))),
    ((6, 4, 5), (5, 1, 1), (1, 1, 1), ((2, 2), (0, 0), (0, 0))),
    ((2, 4, 4), (5, 3, 3), (1, 1, 1), "SAME"),
]


@pytest.fixture(autouse=True)
def all_of_them(monkeypatch):
  """Small ones too take ours."""
  monkeypatch.setattr(depthwise, "SMALL", 0)


def inputs(size, kernel, dtype=jnp.float32, channels=6):
  random = np.random.default_rng(0)
  return (jnp.asarray(random.normal(size=(3, *size, channels)), dtype),
          jnp.asarray(random.normal(size=(*np.broadcast_to(kernel, len(size)), 1, channels)), dtype))


def library(x, k, stride, padding):
  return lax.conv_general_dilated(x, k, np.broadcast_to(stride, x.ndim - 2), padding,
                                  dimension_numbers=DIMENSIONS[x.ndim], feature_group_count=x.shape[-1])


def with_gradients(f, x, k):
  """Output and the gradients to x and k of a sum with fixed random weights."""
  def total(x, k):
    y = f(x, k)
    weights = np.random.default_rng(1).normal(size=y.shape)
    return (y.astype(jnp.float32) * weights).sum(), y
  (_, y), gradients = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(x, k)
  return y, *gradients


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("size, kernel, stride, padding", CASES)
def test_output_and_both_gradients_equal_the_library(size, kernel, stride, padding, dtype, tolerance):
  x, k = inputs(size, kernel, dtype)
  # In bfloat16 the library rounds between sums, this does not: both are held against the library in float32.
  want = with_gradients(functools.partial(library, stride=stride, padding=padding), x.astype(jnp.float32),
                        k.astype(jnp.float32))
  got = with_gradients(lambda x, k: ops.depthwise_conv(x, k, (stride,) * 2 if x.ndim == 4 else stride, padding), x, k)
  for a, b in zip(got, want, strict=True):
    assert a.dtype == dtype and a.shape == b.shape
    np.testing.assert_allclose(a.astype(jnp.float32), b, atol=tolerance * np.abs(b).max())


def test_float64_keeps_its_digits_forward_and_backward():
  with jax.enable_x64(True):
    stride, padding = (1, 2, 2), ((1, 1),) * 3
    x, k = inputs((5, 8, 9), 3, jnp.float64)
    want = with_gradients(functools.partial(library, stride=stride, padding=padding), x, k)
    for a, b in zip(with_gradients(lambda x, k: ops.depthwise_conv(x, k, stride, padding), x, k), want, strict=True):
      assert a.dtype == jnp.float64
      np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(b).max())


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)], ids=["float32", "bfloat16"])
def test_a_kernel_of_one_pixel_equals_the_library(dtype, tolerance):
  x, _ = inputs((4, 5), 3, dtype)
  k = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 6, 8)), dtype)
  want = with_gradients(lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME",
                                                              dimension_numbers=DIMENSIONS[4]), x, k)
  got = with_gradients(lambda x, k: ops.conv(x, k, (1, 1), "SAME"), x, k)
  for a, b in zip(got, want, strict=True):
    assert a.dtype == dtype
    b = b.astype(jnp.float32)
    np.testing.assert_allclose(a.astype(jnp.float32), b, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("convolution, shape", [(ops.depthwise_conv, (3, 3, 1, 6)), (ops.conv, (1, 1, 6, 8))])
def test_only_a_cpu_takes_ours(convolution, shape):
  x, k = inputs((8, 8), 3)[0], jnp.ones(shape)
  step = jax.jit(jax.grad(lambda x, k: convolution(x, k, (1, 1), "SAME").sum(), (0, 1)))
  for platform, used in (("cpu", False), ("cuda", True), ("tpu", True)):
    assert ("stablehlo.convolution" in step.trace(x, k).lower(lowering_platforms=(platform,)).as_text()) is used


@pytest.mark.parametrize("fields", [
    {"feature_group_count": 1},
    {"feature_group_count": 3},
    {"feature_group_count": 6, "features": 12},
    {"feature_group_count": 6, "kernel_dilation": 2},
    {"kernel_size": (1, 1), "feature_group_count": 2},
])
def test_what_is_neither_goes_to_the_library(fields):
  x, _ = inputs((8, 8), 3)
  theirs = nn.Conv(**{"features": 6, "kernel_size": (3, 3), **fields})
  variables = theirs.init(jax.random.key(0), x)
  for convolution in (ops.depthwise_conv, ops.conv):
    ours = theirs.clone(conv_general_dilated=convolution)
    np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))


def test_the_family_takes_it(monkeypatch):
  model, video = make("efficientnet_lite", variant="tiny", num_classes=2), np.zeros((1, 2, 32, 32, 3), np.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), video)
  calls = []
  monkeypatch.setattr(depthwise, "_depthwise", lambda how, x, k: calls.append(k.shape) or _plain(x, k, *how))
  jax.eval_shape(model.apply, variables, video)
  assert {shape[1] for shape in calls} == {3, 5} and len(calls) == len(model.blocks) - 2


def _plain(x, k, strides, pads):
  return library(x, k, strides, pads)
