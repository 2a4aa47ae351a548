"""Makes the ONNX files of this folder with what others use: PyTorch, and ONNX's own library where that stands for Keras.

    apt install python3-torch python3-onnx    (Debian 12: 1.13.1, 1.12.0)
    /usr/bin/python3 tests/onnx/make.py
"""
import os
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


def settled(model):
    """Batch norms as after a training, so that none of their numbers could be left out unseen."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def export(name, model, shape, **options):
    torch.onnx.export(settled(model), torch.randn(1, *shape), f"{HERE}/{name}.onnx", **options)


class Digits(nn.Module):
    """28 x 28 grey pixels, 5 x 5 kernels without padding, odd numbers of channels, a flattening of several pixels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 7, 5)
        self.conv2 = nn.Conv2d(7, 11, 5, bias=False)
        self.bn2 = nn.BatchNorm2d(11, eps=1e-3)
        self.fc1 = nn.Linear(11 * 4 * 4, 33)
        self.drop = nn.Dropout()
        self.fc2 = nn.Linear(33, 10)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        x = x.view(x.size(0), -1)
        return torch.softmax(self.fc2(self.drop(torch.relu(self.fc1(x)))), 1)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if stride != 1:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.down is None else self.down(x)))


class Residual(nn.Module):
    """As torchvision writes its ResNets, smaller; the pooling over a border is torchvision's too."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = Block(12, 12, 1)
        self.layer2 = Block(12, 24, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


def weight(name, *shape, scale=0.3):
    return numpy_helper.from_array(np.random.uniform(-scale, scale, shape).astype(np.float32), name)


def stored_as(tensor, kind):
    """The same weight in half the bytes, and the node that a runtime needs to read it."""
    values = numpy_helper.to_array(tensor)
    if kind == TensorProto.FLOAT16:
        half = helper.make_tensor(f"{tensor.name}_half", kind, values.shape, values.astype(np.float16).tobytes(), raw=True)
    else:
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        half = helper.make_tensor(f"{tensor.name}_half", kind, values.shape, bits.tobytes(), raw=True)
    return half, helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT)


def keras():
    """As tf2onnx writes networks of Keras: channels last outside, MatMul and Add for dense layers, half floats for weights."""
    node = helper.make_node
    weights = [
        stored_as(weight("kernel1", 6, 3, 3, 3), TensorProto.FLOAT16),
        stored_as(weight("kernel2", 8, 6, 3, 3), TensorProto.BFLOAT16),
        stored_as(weight("dense", 4 * 6 * 8, 5), TensorProto.FLOAT16),
    ]
    plain = [
        weight("bias1", 6), weight("bias2", 1, 8, 1, 1), weight("bias3", 5),
        numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "border"),
        numpy_helper.from_array(np.array([-1, 4 * 6 * 8], np.int64), "flat"),
    ]
    nodes = [cast for _, cast in weights] + [
        node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        node("Pad", ["first", "border"], ["padded"]),
        node("Conv", ["padded", "kernel1", "bias1"], ["conv1"], strides=[2, 2]),
        node("Relu", ["conv1"], ["relu1"]),
        node("Conv", ["relu1", "kernel2"], ["conv2"], auto_pad="SAME_UPPER"),
        node("Add", ["bias2", "conv2"], ["biased2"]),
        node("Relu", ["biased2"], ["relu2"]),
        node("AveragePool", ["relu2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["pooled"], ["last"], perm=[0, 2, 3, 1]),
        node("Reshape", ["last", "flat"], ["flattened"]),
        node("MatMul", ["flattened", "dense"], ["product"]),
        node("Add", ["product", "bias3"], ["scores"]),
        node("Identity", ["scores"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "keras",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 16, 24, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        [half for half, _ in weights] + plain,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{HERE}/keras.onnx")


def half():
    """All of a network in half floats, image and logits too."""
    with_floats = onnx.load(f"{HERE}/residual_folded.onnx")
    for tensor in with_floats.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in [*with_floats.graph.input, *with_floats.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(with_floats, f"{HERE}/half.onnx")


def external():
    """Weights in a file beside the network, as large ones have them."""
    model = onnx.load(f"{HERE}/keras.onnx")
    onnx.save_model(model, f"{HERE}/external.onnx", save_as_external_data=True, location="external.weights", size_threshold=0)


torch.manual_seed(1)
np.random.seed(1)
batch = {"input_names": ["image"], "dynamic_axes": {"image": {0: "batch"}}}
# Preserved, so that batch norms stay nodes of their own.
kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
export("digits", Digits(), (1, 28, 28), **batch, **kept, opset_version=13)
export("residual", Residual(), (3, 32, 32), **kept, opset_version=15)
export("residual_folded", Residual(), (3, 32, 32), opset_version=13)
keras()
half()
if os.path.exists(f"{HERE}/external.weights"):
    os.remove(f"{HERE}/external.weights")
external()
