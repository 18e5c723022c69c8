"""U-GAT-IT's networks in PyTorch, written from the paper.

Their tensors have the names and shapes of the authors' PyTorch implementation, so that its
state_dicts load.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


def mix_norms(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return eq. 1 of the paper for x [N, C, H, W]; the rest is [1 or N, C, 1, 1]."""
    by_channel = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True) + 1e-5).sqrt()
    all_axes = (1, 2, 3)
    by_layer = (x - x.mean(all_axes, keepdim=True)) / (x.var(all_axes, keepdim=True) + 1e-5).sqrt()
    return (rho * by_channel + (1 - rho) * by_layer) * gamma + beta


class AdaLIN(nn.Module):
    """Layer-instance normalisation by a given gamma and beta."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]; gamma and beta are [N, C]."""
        return mix_norms(x, self.rho, gamma[:, :, None, None], beta[:, :, None, None])


class LIN(nn.Module):
    """Layer-instance normalisation with its own gamma and beta."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        return mix_norms(x, self.rho, self.gamma, self.beta)


def reflecting(inputs: int, outputs: int, side: int, stride: int = 1) -> list[nn.Module]:
    """Return a padded convolution without a bias."""
    convolution = nn.Conv2d(inputs, outputs, side, stride, bias=False)
    return [nn.ReflectionPad2d(side // 2), convolution]


def normalizing(channels: int, channels_last: bool) -> nn.Module:
    """Return instance normalisation."""
    if not channels_last:
        return nn.InstanceNorm2d(channels)
    # Of one picture in channels_last, InstanceNorm2d of PyTorch 2.13 returns wrong gradients on a
    # CPU. This is the same function.
    return nn.GroupNorm(channels, channels, affine=False)


class EncoderBlock(nn.Module):
    """A residual block with instance normalisation."""

    def __init__(self, channels: int, channels_last: bool):
        super().__init__()
        self.conv_block = nn.Sequential(
            *reflecting(channels, channels, 3),
            normalizing(channels, channels_last),
            nn.ReLU(inplace=True),
            *reflecting(channels, channels, 3),
            normalizing(channels, channels_last),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, H, W] for x [N, C, H, W]."""
        return x + self.conv_block(x)


class DecoderBlock(nn.Module):
    """A residual block with AdaLIN."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm1 = AdaLIN(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm2 = AdaLIN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Return [N, C, H, W] for x [N, C, H, W]; gamma and beta are [N, C]."""
        y = self.conv1(F.pad(x, (1, 1, 1, 1), "reflect"))
        y = F.relu(self.norm1(y, gamma, beta))
        y = self.conv2(F.pad(y, (1, 1, 1, 1), "reflect"))
        return x + self.norm2(y, gamma, beta)


def attend(x: Tensor, gap_fc: nn.Module, gmp_fc: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """Return x [N, C, H, W] weighted by both classifiers, [N, 2C, H, W], and CAM logits [N, 2].

    name: of the classifiers' parameters that weigh; a judge's are not normalised there.
    """
    logits = [
        gap_fc(F.adaptive_avg_pool2d(x, 1).flatten(1)),
        gmp_fc(F.adaptive_max_pool2d(x, 1).flatten(1)),
    ]
    weighted = [x * getattr(fc, name)[:, :, None, None] for fc in (gap_fc, gmp_fc)]
    return torch.cat(weighted, 1), torch.cat(logits, 1)


class Generator(nn.Module):
    """The paper's table 4."""

    def __init__(self, width: int, blocks: int, size: int, light: bool, channels_last: bool):
        super().__init__()
        inner, self.light = 4 * width, light
        down: list[nn.Module] = []
        for inputs, outputs, side in ((3, width, 7), (width, 2 * width, 3), (2 * width, inner, 3)):
            down += reflecting(inputs, outputs, side, 1 if side == 7 else 2)
            down += [normalizing(outputs, channels_last), nn.ReLU(inplace=True)]
        encoder = (EncoderBlock(inner, channels_last) for _ in range(blocks))
        self.DownBlock = nn.Sequential(*down, *encoder)
        self.gap_fc = nn.Linear(inner, 1, bias=False)
        self.gmp_fc = nn.Linear(inner, 1, bias=False)
        self.conv1x1 = nn.Conv2d(2 * inner, inner, 1)
        self.FC = nn.Sequential(
            nn.Linear(inner if light else (size // 4) ** 2 * inner, inner, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(inner, inner, bias=False),
            nn.ReLU(inplace=True),
        )
        self.gamma = nn.Linear(inner, inner, bias=False)
        self.beta = nn.Linear(inner, inner, bias=False)
        self.blocks = [f"UpBlock1_{i + 1}" for i in range(blocks)]
        for name in self.blocks:
            self.add_module(name, DecoderBlock(inner))
        up: list[nn.Module] = []
        for inputs in (inner, 2 * width):
            up += [nn.Upsample(scale_factor=2), *reflecting(inputs, inputs // 2, 3)]
            up += [LIN(inputs // 2), nn.ReLU(inplace=True)]
        self.UpBlock2 = nn.Sequential(*up, *reflecting(width, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Translate x [N, 3, H, W] in [-1, 1]: image, CAM logits [N, 2], map [N, 1, H/4, W/4]."""
        x = self.DownBlock(x)
        x, cam_logits = attend(x, self.gap_fc, self.gmp_fc, "weight")
        x = F.relu(self.conv1x1(x))
        heatmap = x.sum(1, keepdim=True)
        style = self.FC(F.adaptive_avg_pool2d(x, 1).flatten(1) if self.light else x.flatten(1))
        gamma, beta = self.gamma(style), self.beta(style)
        for name in self.blocks:
            x = self.get_submodule(name)(x, gamma, beta)
        return self.UpBlock2(x), cam_logits, heatmap


class Discriminator(nn.Module):
    """The paper's tables 5 (5 layers, local) and 6 (7 layers, global)."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        model: list[nn.Module] = []
        inputs = 3
        for i in range(layers - 1):
            outputs, stride = width * 2**i, 2 if i < layers - 2 else 1
            convolution = spectral_norm(nn.Conv2d(inputs, outputs, 4, stride))
            model += [nn.ReflectionPad2d(1), convolution, nn.LeakyReLU(0.2, inplace=True)]
            inputs = outputs
        self.model = nn.Sequential(*model)
        self.gap_fc = spectral_norm(nn.Linear(inputs, 1, bias=False))
        self.gmp_fc = spectral_norm(nn.Linear(inputs, 1, bias=False))
        self.conv1x1 = nn.Conv2d(2 * inputs, inputs, 1)
        self.conv = spectral_norm(nn.Conv2d(inputs, 1, 4, bias=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge x [N, 3, H, W]: logits [N, 1, h, w], CAM logits [N, 2], map [N, 1, h+1, w+1]."""
        x, cam_logits = attend(self.model(x), self.gap_fc, self.gmp_fc, "weight_orig")
        x = F.leaky_relu(self.conv1x1(x), 0.2)
        return self.conv(F.pad(x, (1, 1, 1, 1), "reflect")), cam_logits, x.sum(1, keepdim=True)


def iterate_powers(network: nn.Module) -> None:
    """Do the power iteration that spectral_norm does before a call, but with new tensors.

    Compiled calls keep u and v for their backward pass, and fail if they have moved since.
    """
    with torch.no_grad():
        for module in network.modules():
            vectors = dict(module.named_buffers(recurse=False))
            if "weight_u" in vectors:
                matrix = module.get_parameter("weight_orig").flatten(1)
                v = F.normalize(matrix.T @ vectors["weight_u"], dim=0, eps=1e-12)
                module.weight_u, module.weight_v = F.normalize(matrix @ v, dim=0, eps=1e-12), v
