"""The encoders of the Deep InfoMax paper, one encoder of this library, and the classes that they are built from."""

from infomax.encoders.conv import ConvEncoder
from infomax.encoders.crops import StridedCrops
from infomax.encoders.layers import Conv
from infomax.encoders.on_crops import alexnet64_crops, resnet32_crops
from infomax.encoders.paper import alexnet64, conv28, conv32, conv64
from infomax.encoders.registry import build, names
from infomax.encoders.residual import Bottleneck
from infomax.encoders.staged import StagedEncoder
from infomax.encoders.wide import wide32

__all__ = [
    "Bottleneck",
    "Conv",
    "ConvEncoder",
    "StagedEncoder",
    "StridedCrops",
    "alexnet64",
    "alexnet64_crops",
    "build",
    "conv28",
    "conv32",
    "conv64",
    "names",
    "resnet32_crops",
    "wide32",
]
