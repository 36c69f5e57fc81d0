"""VGG16 of keras.applications, under the names of its published files; the small one has an eighth of its widths.

The first kernel is scaled on conversion, and so its gradient is not: block1_conv2 stands for it, the input's gradient
passes both.
"""
import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch

from tests.golden import make


class Published(torch.nn.Module):
  """A Keras model whose variables have the names of vgg16_weights_tf_dim_ordering_tf_kernels.h5."""

  def __init__(self, model: keras.Model):
    super().__init__()
    self.model = model

  def named_parameters(self, *args, **kwargs):
    for layer in self.model.layers:
      for letter, variable in zip("Wb", layer.weights, strict=False):
        yield f"{layer.name}/{layer.name}_{letter}_1:0", variable.value

  def state_dict(self, *args, **kwargs):
    return dict(self.named_parameters())

  def load_state_dict(self, state_dict, *args, **kwargs):
    for name, value in self.named_parameters():
      value.data.copy_(state_dict[name])


def narrow(layer: keras.Layer) -> keras.Layer:
  config = layer.get_config()
  if "filters" in config:
    config["filters"] //= 8
  return type(layer).from_config(config)


def build(full: bool) -> make.Original:
  size, classes = (224, 1000) if full else (64, 5)
  model = keras.applications.VGG16(weights=None, input_shape=(size, size, 3), classes=classes,
                                   classifier_activation=None)
  model = model if full else keras.models.clone_model(model, clone_function=narrow)
  both = keras.Model(model.inputs, [model.output, model.get_layer("block3_pool").output])
  conv = model.get_layer("block4_conv1")

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Our input -> pixels in 0..255, red first -> what Keras makes of those."""
    b, t = video.shape[:2]
    mean, std = (torch.tensor(x) for x in ((123.68, 116.779, 103.939), (0.229, 0.224, 0.225)))
    pixels = (video * 255 * std + mean).flatten(0, 1)
    logits, x = both(keras.applications.vgg16.preprocess_input(pixels))
    mid = conv.convolution_op(x, conv.kernel) + conv.bias  # before the ReLU, as ours
    return logits.reshape(b, t, -1).mean(1), mid

  model_ours = dict(name="vgg16", variant="keras" if full else "tiny", num_classes=classes)
  return make.Original(Published(model), run, (1, 2, size, size, 3), model_ours, "block4_conv1",
                       "block1_conv2/block1_conv2_W_1:0", f"keras {keras.__version__}")
