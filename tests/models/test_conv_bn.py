"""Convolution and BatchNorm in one: with stored statistics the norm's scale is in the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from vft.models.efficientnet_lite import relu6
from vft.models.layers import conv_bn, he_normal


class Ours(nn.Module):
  bn: str
  groups: int
  use_scale: bool

  @nn.compact
  def __call__(self, x, train):
    return conv_bn(x, 6, (3, 3), (2, 1), bn=self.bn, train=train, groups=self.groups, use_scale=self.use_scale)


class Plain(Ours):
  @nn.compact
  def __call__(self, x, train):
    x = nn.Conv(6, (3, 3), (2, 1), use_bias=False, feature_group_count=self.groups, kernel_init=he_normal,
                name="conv")(x)
    stored = self.bn == "stored" or not train
    return nn.BatchNorm(use_running_average=stored, momentum=0.9, use_scale=self.use_scale, name="bn")(x)


def outputs(model, variables, x, weight):
  """Output, gradients to the parameters and to x, statistics afterwards."""
  def total(params, x):
    y, moved = model.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
    return (y * weight).sum(), (y, moved)
  gradients, (y, moved) = jax.grad(total, (0, 1), has_aux=True)(variables["params"], x)
  return y, gradients, moved or {"batch_stats": variables["batch_stats"]}


@pytest.mark.parametrize("bn, groups, use_scale", [("stored", 1, True), ("stored", 6, False), ("batch", 1, True)])
def test_conv_bn_equals_a_convolution_and_a_batch_norm(bn, groups, use_scale):
  random = np.random.default_rng(0)
  x, weight = (jnp.asarray(random.normal(size=size), jnp.float32) for size in ((2, 6, 5, 6), (2, 3, 5, 6)))
  plain, ours = Plain(bn, groups, use_scale), Ours(bn, groups, use_scale)
  empty = plain.init(jax.random.key(0), x, False)
  jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(0), x, False), empty)
  variables = jax.tree.map(lambda a: jnp.asarray(random.uniform(0.5, 2, a.shape), a.dtype), empty)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max()),
               outputs(ours, variables, x, weight), outputs(plain, variables, x, weight))


def test_relu6_and_its_gradient():
  x = jnp.asarray([-1, 0, 0.5, 5.5, 6, 7])
  np.testing.assert_array_equal(relu6(x), nn.relu6(x))
  np.testing.assert_array_equal(jax.grad(lambda x: relu6(x).sum())(x), [0, 0, 1, 1, 0, 0])  # as torch's
  kept = jax.eval_shape(lambda x: jax.vjp(relu6, x)[1], x)
  assert [leaf.dtype for leaf in jax.tree.leaves(kept)] == [jnp.float32]  # the output
