"""pytorchvideo's Slow-only network -> our names.

https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOW_8x8_R50.pyth (pytorchvideo/models/hub/resnet.py;
arrays are under "model_state"): Kinetics-400 top-1 74.58, top-5 91.63, 3 x 10 views of 8 frames at every 8th, from
docs/source/model_zoo.md of https://github.com/facebookresearch/pytorchvideo. The code's licence is Apache-2.0
(LICENSE); none is stated for the file. Input statistics: 0.45 and 0.225 (pytorchvideo_trainer,
conf/datamodule/transforms/kinetics_classification_slow.yaml).
"""
from vft.convert import slowfast
from vft.convert.rules import Rule, torch_layer

RULES: tuple[Rule, ...] = (*slowfast.path("", "", ""), *torch_layer(slowfast.AT + r"5\.proj", "head/label"))
