"""Lowerings that depend on the device: on a CPU some of XLA's own are far from what the processor can do.

Each computes what the library computes (sums in another order), and leaves GPUs and TPUs to the library's kernels.
"""
from vft.models.ops.convolution import conv
from vft.models.ops.depthwise import depthwise_conv
from vft.models.ops.dot_product import attention, capped
from vft.models.ops.gelu import gelu
from vft.models.ops.layer_norm import layer_norm
from vft.models.ops.linear import PRODUCT, linear, product
from vft.models.ops.pool import max_pool

__all__ = ["PRODUCT", "attention", "capped", "conv", "depthwise_conv", "gelu", "layer_norm", "linear", "max_pool",
           "product"]
