"""Milliseconds from the file of a picture to an encoder's 49 rows, in PyTorch and in onnxruntime:

    python vision_peer.py efficientnet-lite0|clip-vit-base-patch32 PICTURE THREADS RUNS CACHE

The weights are random: the time does not depend on them. Both are given the networks at their best, with BatchNorm folded
into the convolutions and the three projections of attention in one. CACHE keeps the ONNX files. Prints the two medians as a
list.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy
import onnxruntime
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import nn

SIDE = 224


def convolution(inputs, outputs, kernel=1, stride=1, groups=1, active=True):
    # TensorFlow's padding: of an odd number, the one more is behind.
    padding = kernel - stride
    before, behind = padding // 2, padding - padding // 2
    even = before == behind
    layers = [] if even else [nn.ZeroPad2d((before, behind, before, behind))]
    layers.append(nn.Conv2d(inputs, outputs, kernel, stride, before if even else 0, groups=groups))
    return nn.Sequential(*layers, nn.ReLU6()) if active else nn.Sequential(*layers)


class InvertedBottleneck(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([convolution(inputs, inner)] if expansion > 1 else []),
            convolution(inner, inner, kernel, stride, groups=inner),
            convolution(inner, outputs, active=False),
        )

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


class EfficientNetLite0(nn.Module):
    # Blocks, kernel, stride, expansion, outputs.
    STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]

    def __init__(self):
        super().__init__()
        layers, width = [convolution(3, 32, 3, 2)], 32
        for blocks, kernel, stride, expansion, outputs in self.STAGES:
            for block in range(blocks):
                layers.append(InvertedBottleneck(width, outputs, kernel, 1 if block else stride, expansion))
                width = outputs
        self.layers = nn.Sequential(*layers, convolution(width, 1280))

    def forward(self, pixels):
        return self.layers(pixels).flatten(2).transpose(1, 2)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, positions, width = x.shape
        projections = self.projections(self.before_attention(x))
        query, key, value = projections.reshape(batch, positions, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attention = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attention.transpose(1, 2).reshape(batch, positions, width))
        inner = self.up(self.before_mlp(x))
        return x + self.down(inner * torch.sigmoid(1.702 * inner))


class ClipVision(nn.Module):
    def __init__(self, width=768, layers=12, heads=12, patch=32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 1 + (SIDE // patch) ** 2, width))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))

    def forward(self, pixels):
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        x = self.norm(torch.cat([self.first, patches], 1) + self.places)
        return self.layers(x)[:, 1:]


NETWORKS = {"efficientnet-lite0": EfficientNetLite0, "clip-vit-base-patch32": ClipVision}


def pixels(path):
    picture = Image.open(path).convert("RGB")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values = (numpy.asarray(picture, numpy.float32) - 127) / 128
    return numpy.ascontiguousarray(values.transpose(2, 0, 1)[None])


def in_torch(network):
    def run(picture):
        with torch.inference_mode():
            return network(torch.from_numpy(picture)).numpy()

    return run


def in_onnxruntime(network, file, threads):
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.onnx")
        torch.onnx.export(network, (torch.zeros(1, 3, SIDE, SIDE),), str(partial), external_data=False)
        partial.rename(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture})[0]


def median(run, path, runs):
    assert run(pixels(path)).shape[:2] == (1, 49)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run(pixels(path))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main(name, path, threads, runs, cache):
    threads, runs = int(threads), int(runs)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    sides = [in_torch(network), in_onnxruntime(network, Path(cache) / f"{name}.onnx", threads)]
    print(json.dumps([median(run, path, runs) for run in sides]))


main(*sys.argv[1:])
