"""Lowerings that depend on the device: on a CPU some of XLA's own are far from what the processor can do.

Each computes what the library computes (sums in another order), and leaves GPUs and TPUs to the library's kernels.
"""
from vft.models.ops.conv import conv3d
from vft.models.ops.dot_product import attention
from vft.models.ops.max_pool import max_pool3d

__all__ = ["attention", "conv3d", "max_pool3d"]
