"""AGGAN's networks of PyTorch's layers: attention is enlarged before its 1×1 convolutions."""

from functools import partial

import pytorch_cyclegan
import torch
from pytorch_cartoongan import Block
from torch import nn
from torch_layers import randomize

Norm = partial(nn.InstanceNorm2d, affine=True)


def generator(w: int, blocks: int, seed: int) -> nn.Module:
    return randomize(pytorch_cyclegan.generator(w, blocks, Norm), seed)


def generator_names(blocks: int) -> list[str]:
    names = [name for i in range(3) for name in (f"down_{i}", f"down_norm_{i}")]
    for i in range(blocks):
        names += [f"block_{i}/{x}_{j}" for j in (0, 1) for x in ("conv", "norm")]
    return [*names, "up_0", "up_norm_0", "up_1", "up_norm_1", "to_rgb"]


def attention(w: int, seed: int) -> nn.Module:
    return randomize(
        nn.Sequential(
            *(nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7, 2), Norm(w), nn.ReLU()),
            *(nn.Conv2d(w, 2 * w, 3, 2, padding=1), Norm(2 * w), nn.ReLU()),
            Block(2 * w),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, 2 * w, 1), Norm(2 * w), nn.ReLU()),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, w, 1), Norm(w), nn.ReLU()),
            *(nn.Conv2d(w, 1, 1), nn.Sigmoid()),
        ),
        seed,
    )


ATTENTION_NAMES = [
    *("down_0", "down_norm_0", "down_1", "down_norm_1"),
    *(f"block/{x}_{j}" for j in (0, 1) for x in ("conv", "norm")),
    *("up_0", "up_norm_0", "up_1", "up_norm_1", "to_mask"),
]


class Discriminator(nn.Module):
    """A PatchGAN that normalises after each convolution but the last, or nowhere."""

    def __init__(self, w: int, layers: int):
        super().__init__()
        widths = [3, *(w * min(2**i, 8) for i in range(layers + 1)), 1]
        strides = [*[2] * layers, 1, 1]
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for i, o, stride in zip(widths, widths[1:], strides, strict=False):
            self.layers.append(nn.Conv2d(i, o, 4, stride, padding=1))
            self.norms.append(Norm(o) if o > 1 else nn.Identity())

    def forward(self, x: torch.Tensor, normalize: bool) -> torch.Tensor:
        for layer, norm in zip(self.layers[:-1], self.norms, strict=False):
            x = layer(x)
            x = nn.functional.leaky_relu(norm(x) if normalize else x, 0.2)
        return self.layers[-1](x)


def discriminator(w: int, layers: int, seed: int) -> Discriminator:
    return randomize(Discriminator(w, layers), seed)


def discriminator_names(layers: int) -> list[str]:
    convolutions = [f"conv_{i}" for i in range(layers + 1)]
    return [*convolutions, "logit", *(f"norm_{i}" for i in range(layers + 1))]
