"""Names of the `keras.applications` backbones, `keras:NAME`, and how each wants its pixels; nothing heavy is imported.

`PIXELS` is Keras' own preprocessing of each: "tf" to [-1, 1], "torch" to ImageNet's mean and deviation, "caffe" to BGR
without ImageNet's mean, "inside" where layers of the network itself take raw pixels.
"""

import functools

from cmo_tf.core.registry import Registry

PREFIX = "keras:"
PIXELS = {
    **dict.fromkeys(("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"), "caffe"),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2", "MobileNet", "MobileNetV2", "InceptionV3",
                     "InceptionResNetV2", "Xception", "NASNetMobile", "NASNetLarge"), "tf"),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), "torch"),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large", *(f"EfficientNetB{k}" for k in range(8)),
                     *(f"EfficientNetV2{k}" for k in ("B0", "B1", "B2", "B3", "S", "M", "L")),
                     *(f"ConvNeXt{k}" for k in ("Tiny", "Small", "Base", "Large", "XLarge"))), "inside"),
}
NAMES = Registry("keras.applications network", {name: "cmo_tf.models.backbones:create" for name in PIXELS},
                 flag="model")


class Networks(Registry):
    """A Registry of networks that also has `keras:NAME`; listed are its own entries alone."""

    def check(self, name, flag=None):
        if not str(name).startswith(PREFIX):
            return super().check(name, flag)
        NAMES.check(name.removeprefix(PREFIX), flag or self.flag)
        return name

    def __contains__(self, name):
        return super().__contains__(name) or (str(name).startswith(PREFIX) and name.removeprefix(PREFIX) in NAMES)

    def __getitem__(self, name):
        if not str(name).startswith(PREFIX):
            return super().__getitem__(name)
        name = self.check(name).removeprefix(PREFIX)
        return functools.partial(NAMES[name], name)
