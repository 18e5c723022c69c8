"""DRIT's networks of PyTorch's layers, nested and named as in its authors' files."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def padded(inputs: int, outputs: int, side: int, stride: int, padding: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(padding), nn.Conv2d(inputs, outputs, side, stride)]


class Wrapped(nn.Module):
    """Layers as `model`, which many of their modules are."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Block(Wrapped):
    def __init__(self, width: int) -> None:
        def conv() -> list[nn.Module]:
            return [*padded(width, width, 3, 1, 1), nn.InstanceNorm2d(width)]

        super().__init__(*conv(), nn.ReLU(), *conv())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


def leaky(inputs: int, outputs: int, side: int, stride: int, padding: int) -> Wrapped:
    return Wrapped(*padded(inputs, outputs, side, stride, padding), nn.LeakyReLU())


class LayerNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:]) * self.weight + self.bias


class ContentEncoders(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()

        def one() -> nn.Sequential:
            def down(inputs: int) -> Wrapped:
                norm = nn.InstanceNorm2d(2 * inputs)
                return Wrapped(*padded(inputs, 2 * inputs, 3, 2, 1), norm, nn.ReLU())

            own = [Block(4 * width) for _ in range(blocks)]
            return nn.Sequential(leaky(3, width, 7, 1, 3), down(width), down(2 * width), *own)

        self.convA, self.convB = one(), one()
        self.conv_share = nn.Sequential(Block(4 * width))

    def forward(self, x: Tensor, domain: str) -> Tensor:
        return self.conv_share(getattr(self, f"conv{domain}")(x))


class Shrinking(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        last = nn.Sequential(*padded(inputs, outputs, 3, 1, 1), nn.AvgPool2d(2))
        first = [nn.LeakyReLU(0.2), *padded(inputs, inputs, 3, 1, 1), nn.LeakyReLU(0.2)]
        self.conv = nn.Sequential(*first, last)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)


class AttributeEncoders(nn.Module):
    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        for domain in "AB":
            blocks = [Shrinking(i * width, (i + 1) * width) for i in (1, 2, 3)]
            end = [nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1)]
            conv = nn.Sequential(*padded(3, width, 4, 2, 1), *blocks, *end)
            setattr(self, f"conv_{domain}", conv)
            for name in ("fc", "fcVar"):
                setattr(self, f"{name}_{domain}", nn.Sequential(nn.Linear(4 * width, style)))

    def forward(self, x: Tensor, domain: str) -> Tensor:
        return getattr(self, f"fc_{domain}")(getattr(self, f"conv_{domain}")(x).flatten(1))


class Generators(nn.Module):
    def __init__(self, width: int, blocks: int, style: int) -> None:
        super().__init__()
        self.dec_share = nn.Sequential(Block(4 * width))
        for domain in "AB":
            now = 4 * width + style
            parts: list[nn.Module] = [nn.Sequential(*(Block(now) for _ in range(blocks)))]
            for _ in range(2):
                now, inputs = (now + style) // 2, now + style
                up = nn.ConvTranspose2d(inputs, now, 3, 2, 1, output_padding=1)
                parts.append(nn.Sequential(Wrapped(up, LayerNorm(now), nn.ReLU())))
            parts.append(nn.Sequential(nn.ConvTranspose2d(now + style, 3, 1), nn.Tanh()))
            for i, part in enumerate(parts, 1):
                setattr(self, f"dec{domain}{i}", part)

    def forward(self, x: Tensor, style: Tensor, domain: str) -> Tensor:
        x = self.dec_share(x)
        for i in range(1, 5):
            planes = style[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = getattr(self, f"dec{domain}{i}")(torch.cat([x, planes], 1))
        return x


class Discriminator(nn.Module):
    def __init__(self, width: int, layers: int, scales: int) -> None:
        super().__init__()
        widths = [3, *(width * 2**i for i in range(layers))]

        def one() -> nn.Sequential:
            convs = [leaky(widths[i], widths[i + 1], 4, 2, 1) for i in range(layers)]
            return nn.Sequential(*convs, nn.Conv2d(widths[-1], 1, 1))

        self.Diss = nn.ModuleList([one() for _ in range(scales)])


def networks(
    width: int, blocks: int, style: int, layers: int, scales: int, content_layers: int
) -> nn.ModuleDict:
    """Return all networks by the names in their files, with random parameters."""
    torch.manual_seed(0)
    wide = 4 * width
    strided = [leaky(wide, wide, 7, 2, 1) for _ in range(content_layers)]
    nets = nn.ModuleDict(
        {
            "enc_c": ContentEncoders(width, blocks),
            "enc_a": AttributeEncoders(width, style),
            "gen": Generators(width, blocks, style),
            "disContent": Wrapped(*strided, leaky(wide, wide, 4, 1, 0), nn.Conv2d(wide, 1, 1)),
        }
        | {x: Discriminator(width, layers, scales) for x in ("disA", "disA2", "disB", "disB2")}
    )
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.normal_(0, 0.2)
    return nets


def content_of_file(nets: Any, step: int, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return what their `torch.save` is given, after a step of Adam's on what is 0."""
    content: dict[str, Any] = {"ep": 3, "total_it": step}
    for name, net in nets.items():
        if name not in without:
            optimizer = torch.optim.Adam(net.parameters(), 1e-4, (0.5, 0.999), weight_decay=1e-4)
            for parameter in net.parameters():
                parameter.grad = torch.zeros_like(parameter)
            content |= {name: net.state_dict(), f"{name}_opt": optimizer.state_dict()}
    return content
