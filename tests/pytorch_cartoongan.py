"""CartoonGAN's networks of PyTorch's layers, from the paper's figure 2."""

from functools import partial

import torch
from torch import nn
from torch_layers import randomize

Norm = partial(nn.InstanceNorm2d, affine=True)


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), Norm(width)]
        other_half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), Norm(width)]
        self.layers = nn.Sequential(*half, nn.ReLU(), *other_half)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


def generator(w: int, blocks: int) -> nn.Module:
    def down(i: int, o: int) -> list[nn.Module]:
        flat = nn.Conv2d(o, o, 3, padding=1)
        return [nn.Conv2d(i, o, 3, 2, padding=1), flat, Norm(o), nn.ReLU()]

    def up(i: int, o: int) -> list[nn.Module]:
        up = nn.ConvTranspose2d(i, o, 3, 2, padding=1, output_padding=1)
        return [up, nn.Conv2d(o, o, 3, padding=1), Norm(o), nn.ReLU()]

    return randomize(
        nn.Sequential(
            *(nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), Norm(w), nn.ReLU()),
            *down(w, 2 * w),
            *down(2 * w, 4 * w),
            *(Block(4 * w) for _ in range(blocks)),
            *up(4 * w, 2 * w),
            *up(2 * w, w),
            *(nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh()),
        )
    )


def generator_names(blocks: int) -> list[str]:
    names = ["first", "first_norm"]
    for i in (0, 1):
        names += [f"down_{i}", f"flat_{i}", f"down_norm_{i}"]
    for i in range(blocks):
        names += [f"block_{i}/{x}_{j}" for j in (0, 1) for x in ("conv", "norm")]
    for i in (0, 1):
        names += [f"up_{i}", f"up_flat_{i}", f"up_norm_{i}"]
    return [*names, "to_rgb"]


def discriminator(w: int) -> nn.Module:
    def conv(i: int, o: int, stride: int = 1) -> nn.Module:
        return nn.Conv2d(i, o, 3, stride, padding=1)

    return randomize(
        nn.Sequential(
            *(conv(3, w), nn.LeakyReLU(0.2)),
            *(conv(w, 2 * w, 2), nn.LeakyReLU(0.2)),
            *(conv(2 * w, 4 * w), Norm(4 * w), nn.LeakyReLU(0.2)),
            *(conv(4 * w, 4 * w, 2), nn.LeakyReLU(0.2)),
            *(conv(4 * w, 8 * w), Norm(8 * w), nn.LeakyReLU(0.2)),
            *(conv(8 * w, 8 * w), Norm(8 * w), nn.LeakyReLU(0.2)),
            conv(8 * w, 1),
        )
    )


DISCRIMINATOR_NAMES = [
    *("first", "down_0", "flat_0", "norm_0", "down_1", "flat_1", "norm_1"),
    *("last", "last_norm", "logit"),
]
