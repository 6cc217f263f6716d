"""The paper's encoders, and the class they are built with."""

from infomax.encoders.conv import Conv, ConvEncoder
from infomax.encoders.paper import alexnet64, conv28, conv32, conv64
from infomax.encoders.registry import build, names

__all__ = ["Conv", "ConvEncoder", "alexnet64", "build", "conv28", "conv32", "conv64", "names"]
