"""UNIT's and MUNIT's networks of PyTorch's layers, from MUNIT's appendix B, their tensors named as
in the authors' files."""

import itertools
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class AdaIN(nn.Module):
    """Instance normalisation to a weight and a bias that somebody else sets before."""

    def __init__(self, features: int):
        super().__init__()
        self.features, self.weight, self.bias = features, None, None
        # In the authors' files, and without a use.
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalized = functional.instance_norm(x, eps=1e-5)
        return normalized * self.weight[:, :, None, None] + self.bias[:, :, None, None]


class LayerNorm(nn.Module):
    """(x - mean) / (standard deviation + 1e-5), torch's deviation, over all but the batch."""

    def __init__(self, features: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(features))
        self.beta = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalized = [(one - one.mean()) / (one.std() + 1e-5) for one in x]
        gamma, beta = self.gamma[:, None, None], self.beta[:, None, None]
        return torch.stack(normalized) * gamma + beta


NORMS: dict[str, Any] = {
    "none": lambda features: nn.Identity(),
    "in": nn.InstanceNorm2d,
    "adain": AdaIN,
    "ln": LayerNorm,
}
ACTIVATIONS = {
    "relu": nn.ReLU(),
    "lrelu": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "none": nn.Identity(),
}


class Conv(nn.Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        stride: int = 1,
        padding: int = 0,
        norm: str = "none",
        activation: str = "relu",
    ):
        super().__init__()
        self.pad = nn.ReflectionPad2d(padding)
        self.conv = nn.Conv2d(inputs, outputs, side, stride)
        self.norm = NORMS[norm](outputs)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.norm(self.conv(self.pad(x))))


class Net(nn.Module):
    """A Sequential named `model`, with which the names of its tensors begin."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Block(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.model(x)


def blocks(width: int, count: int, norm: str) -> Net:
    """R256, so many."""

    def block() -> Block:
        first = Conv(width, width, 3, 1, 1, norm)
        return Block(first, Conv(width, width, 3, 1, 1, norm, activation="none"))

    return Net(*(block() for _ in range(count)))


def content_encoder(w: int, count: int) -> Net:
    """c7s1-64, d128, d256, R256 …"""
    return Net(
        Conv(3, w, 7, 1, 3, "in"),
        Conv(w, 2 * w, 4, 2, 1, "in"),
        Conv(2 * w, 4 * w, 4, 2, 1, "in"),
        blocks(4 * w, count, "in"),
    )


def decoder(w: int, count: int, norm: str) -> Net:
    """R256 …, u128, u64, c7s1-3"""
    return Net(
        blocks(4 * w, count, norm),
        *(nn.Upsample(scale_factor=2), Conv(4 * w, 2 * w, 5, 1, 2, "ln")),
        *(nn.Upsample(scale_factor=2), Conv(2 * w, w, 5, 1, 2, "ln")),
        Conv(w, 3, 7, 1, 3, activation="tanh"),
    )


def style_encoder(w: int, size: int) -> Net:
    """c7s1-64, d128, d256, d256, d256, GAP, fc8"""
    return Net(
        Conv(3, w, 7, 1, 3),
        *(Conv(a * w, b * w, 4, 2, 1) for a, b in ((1, 2), (2, 4), (4, 4), (4, 4))),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(4 * w, size, 1),
    )


class Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int, activation: str = "relu"):
        super().__init__()
        self.fc, self.activation = nn.Linear(inputs, outputs), ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.fc(x))


class Munit(nn.Module):
    """All of a domain's networks but its discriminator."""

    def __init__(self, width: int, count: int, size: int):
        super().__init__()
        self.enc_style = style_encoder(width, size)
        self.enc_content = content_encoder(width, count)
        self.dec = decoder(width, count, "adain")
        hidden, outputs = 4 * width, count * 2 * 2 * 4 * width
        self.mlp = Net(Dense(size, hidden), Dense(hidden, hidden), Dense(hidden, outputs, "none"))

    def decode(self, content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        adain = self.mlp(style.flatten(1))
        for module in self.dec.modules():
            if isinstance(module, AdaIN):
                n = module.features
                module.bias, module.weight, adain = (
                    adain[:, :n],
                    adain[:, n : 2 * n],
                    adain[:, 2 * n :],
                )
        assert adain.shape[1] == 0
        return self.dec(content)


class Unit(nn.Module):
    """A domain's encoder and decoder."""

    def __init__(self, width: int, count: int):
        super().__init__()
        self.enc = content_encoder(width, count)
        self.dec = decoder(width, count, "in")


class Discriminator(nn.Module):
    """Per scale d64, d128, d256, d512 and one logit."""

    def __init__(self, w: int, layers: int, scales: int):
        super().__init__()

        def net() -> nn.Sequential:
            widths = [3, *(w * 2**i for i in range(layers))]
            convolutions = [
                Conv(a, b, 4, 2, 1, activation="lrelu") for a, b in itertools.pairwise(widths)
            ]
            return nn.Sequential(*convolutions, nn.Conv2d(widths[-1], 1, 1))

        self.cnns = nn.ModuleList(net() for _ in range(scales))
        self.downsample = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs = []
        for net in self.cnns:
            outputs.append(net(x))
            x = self.downsample(x)
        return outputs


def randomize(net: nn.Module, seed: int) -> nn.Module:
    """Draw all parameters, biases too."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.2, generator=random)
    return net
