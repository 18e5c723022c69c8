"""DRIT's networks and objective of PyTorch's layers, for one picture of each domain at a time.

From the papers, and where docs/methods.md says so from what their authors' code does. Modules are
named as ours are, so that their tensors fit into our trees.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

WIDTH, STYLE, SCALES = 4, 3, 2


def conv(inputs: int, outputs: int, side: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, padding, padding_mode="reflect")


class Net(nn.Module):
    """Modules by name, in an order in which some of them are gone through."""

    def add(self, name: str, module: nn.Module) -> None:
        setattr(self, name, module)

    def named(self, name: str) -> list[Any]:
        return [module for key, module in self._modules.items() if key.startswith(name)]


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv_0, self.conv_1 = conv(width, width, 3, 1, 1), conv(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv_0(x)))
        return x + F.instance_norm(self.conv_1(y))


class ContentEncoder(Net):
    def __init__(self, blocks: int):
        super().__init__()
        self.down_0 = conv(3, WIDTH, 7, 1, 3)
        self.down_1 = conv(WIDTH, 2 * WIDTH, 3, 2, 1)
        self.down_2 = conv(2 * WIDTH, 4 * WIDTH, 3, 2, 1)
        for i in range(blocks):
            self.add(f"block_{i}", Block(4 * WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.down_0(x))
        x = F.relu(F.instance_norm(self.down_1(x)))
        x = F.relu(F.instance_norm(self.down_2(x)))
        for block in self.named("block"):
            x = block(x)
        return x


class AttributeEncoder(Net):
    def __init__(self) -> None:
        super().__init__()
        self.down = conv(3, WIDTH, 4, 2, 1)
        for i, (inputs, outputs) in enumerate(((1, 2), (2, 3), (3, 4))):
            inputs, outputs = inputs * WIDTH, outputs * WIDTH
            self.add(f"block_{i}_conv_0", conv(inputs, inputs, 3, 1, 1))
            self.add(f"block_{i}_conv_1", conv(inputs, outputs, 3, 1, 1))
            self.add(f"block_{i}_shortcut", conv(inputs, outputs, 1))
        self.mean, self.log_variance = nn.Linear(4 * WIDTH, STYLE), nn.Linear(4 * WIDTH, STYLE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.down(x)
        for i in range(3):
            first, second, shortcut = self.named(f"block_{i}")
            y = second(F.leaky_relu(first(F.leaky_relu(x, 0.2)), 0.2))
            x = F.avg_pool2d(y, 2) + shortcut(F.avg_pool2d(x, 2))
        x = F.adaptive_avg_pool2d(F.leaky_relu(x, 0.2), 1).flatten(1)
        return self.mean(x), self.log_variance(x)


class Decoder(Net):
    def __init__(self, blocks: int):
        super().__init__()
        width = 4 * WIDTH + STYLE
        for i in range(blocks):
            self.add(f"block_{i}", Block(width))
        for i in range(2):
            inputs, width = width + STYLE, (width + STYLE) // 2
            self.add(f"up_{i}", nn.ConvTranspose2d(inputs, width, 3, 2, 1, output_padding=1))
            self.add(f"norm_{i}", nn.GroupNorm(1, width))  # one group: the layer's
        self.to_rgb = nn.Conv2d(width + STYLE, 3, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        def with_style(x: Tensor) -> Tensor:
            planes = [torch.full_like(x[:, :1], 1) * z[:, None, None, None] for z in style.T]
            return torch.cat([x, *planes], 1)

        x = with_style(x)
        for block in self.named("block"):
            x = block(x)
        for up, norm in zip(self.named("up"), self.named("norm"), strict=True):
            x = F.relu(norm(up(with_style(x))))
        return torch.tanh(self.to_rgb(with_style(x)))


class Discriminator(Net):
    def __init__(self, layers: int):
        super().__init__()
        for scale in range(SCALES):
            widths = [3, *(WIDTH * 2**i for i in range(layers))]
            for i in range(layers):
                self.add(f"scale_{scale}_conv_{i}", conv(widths[i], widths[i + 1], 4, 2, 1))
            self.add(f"scale_{scale}_logit", nn.Conv2d(widths[-1], 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        logits = []
        for scale in range(SCALES):
            *convolutions, logit = self.named(f"scale_{scale}")
            y = x
            for each in convolutions:
                y = F.leaky_relu(each(y))
            logits.append(logit(y))
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return logits


class ContentDiscriminator(Net):
    def __init__(self, layers: int):
        super().__init__()
        for i in range(layers):
            self.add(f"conv_{i}", conv(4 * WIDTH, 4 * WIDTH, 7, 2, 1))
        self.add(f"conv_{layers}", conv(4 * WIDTH, 4 * WIDTH, 4))
        self.logit = nn.Conv2d(4 * WIDTH, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        for each in self.named("conv"):
            x = F.leaky_relu(each(x))
        return self.logit(x)


def build(blocks: int, layers: int, content_layers: int) -> nn.ModuleDict:
    """Return all networks, by the names of our groups and of what they hold."""
    random = torch.Generator().manual_seed(0)
    nets = nn.ModuleDict()
    for group, network in (("content_encoders", ContentEncoder), ("generators", Decoder)):
        nets[group] = nn.ModuleDict({"a": network(blocks), "b": network(blocks)})
        nets[group]["shared"] = Block(4 * WIDTH)
    nets["attribute_encoders"] = nn.ModuleDict({"a": AttributeEncoder(), "b": AttributeEncoder()})
    nets["discriminators"] = nn.ModuleDict(
        {d: nn.ModuleDict({k: Discriminator(layers) for k in ("encoded", "random")}) for d in "ab"}
    )
    nets["content_discriminator"] = ContentDiscriminator(content_layers)
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.normal_(0, 0.2, generator=random)
    return nets.double()


# --- The objective, of one picture of each domain -------------------------------------------------


def bce(logits: Tensor, target: float) -> Tensor:
    said = torch.sigmoid(logits)
    return F.binary_cross_entropy(said, torch.full_like(said, target))


def losses(nets: Any, picture: dict[str, Tensor], noise: dict[str, Any]) -> dict[str, Any]:
    """Return every player's terms, weighted, by player.

    Of attributes that are drawn twice they are DRIT++'s.
    """
    contents, decoders = nets["content_encoders"], nets["generators"]
    styles, judges = nets["attribute_encoders"], nets["discriminators"]

    def content(x: Tensor, domain: str, of_pass: str) -> Tensor:
        return contents["shared"](contents[domain](x)) + noise[of_pass]["content"][domain]

    def picture_of(c: Tensor, z: Tensor, domain: str) -> Tensor:
        return decoders[domain](decoders["shared"](c), z)

    def drawn(x: Tensor, domain: str, of_pass: str) -> Tensor:
        mean, log_variance = styles[domain](x)
        return mean + log_variance.exp().sqrt() * noise[of_pass]["attributes"][domain]

    a, b = picture["a"], picture["b"]
    c_a, c_b = content(a, "a", "first"), content(b, "b", "first")
    z_a, z_b = drawn(a, "a", "first"), drawn(b, "b", "first")
    u, v = picture_of(c_b, z_a, "a"), picture_of(c_a, z_b, "b")
    back_a = picture_of(content(v, "b", "back"), drawn(u, "a", "back"), "a")
    back_b = picture_of(content(u, "a", "back"), drawn(v, "b", "back"), "b")
    again = [
        (picture_of(c_a, z_a, "a") - a).abs().mean(),
        (picture_of(c_b, z_b, "b") - b).abs().mean(),
    ]
    of_content = nets["content_discriminator"]
    half = [bce(of_content(c), 0.5) for c in (c_a, c_b)]
    prior = Normal(torch.zeros(1).double(), 1)
    kl = []
    for domain, x in picture.items():
        if domain in styles:
            mean, log_variance = styles[domain](x)
            kl.append(kl_divergence(Normal(mean, (log_variance / 2).exp()), prior).sum())
    generator = {
        "adversarial": [pleased(judges["a"]["encoded"], u), pleased(judges["b"]["encoded"], v)],
        "content_adversarial": half,
        "cycle": [10 * (back_a - a).abs().mean(), 10 * (back_b - b).abs().mean()],
        "reconstruction": [10 * x for x in again],
        "kl": [0.01 * x for x in kl],
        "content_square": [0.01 * (c**2).mean() for c in (c_a, c_b)],
    }
    z = noise["first"]["styles"]
    encoded = [apart(judges["a"]["encoded"], a, u), apart(judges["b"]["encoded"], b, v)]
    random = []
    for domain, c in (("a", c_b), ("b", c_a)):
        judge, real = judges[domain]["random"], picture[f"random_{domain}"]
        random.append(sum(apart(judge, real, picture_of(c, each, domain)) for each in z))
    told = [bce(of_content(c_a), 0), bce(of_content(c_b), 1)]
    return {
        "discriminator": {"encoded": encoded, "random": random},
        "content_discriminator": {"adversarial": told},
        "generator": generator,
        "random": random_terms(nets, content(a, "a", "random"), content(b, "b", "random"), noise),
    }


def random_terms(nets: Any, c_a: Tensor, c_b: Tensor, noise: dict[str, Any]) -> dict[str, Any]:
    decoders, styles = nets["generators"], noise["random"]["styles"]
    terms: dict[str, list[Any]] = {"adversarial": [], "latent": []}
    for domain, c in (("a", c_b), ("b", c_a)):
        made = [decoders[domain](decoders["shared"](c), each) for each in styles]
        judge = nets["discriminators"][domain]["random"]
        terms["adversarial"].append(sum(pleased(judge, each) for each in made))
        mean, _ = nets["attribute_encoders"][domain](made[0])
        terms["latent"].append(10 * (mean - styles[0]).abs().mean())
        if len(styles) == 2:
            far = (made[0] - made[1]).abs().mean() / (styles[0] - styles[1]).abs().mean()
            terms.setdefault("mode_seeking", []).append(1 / (far + 1e-5))
    return terms


def apart(judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    of_fake = sum(bce(logits, 0) for logits in judge(fake.detach()))
    return sum(bce(logits, 1) for logits in judge(real)) + of_fake


def pleased(judge: nn.Module, fake: Tensor) -> Any:
    return sum(bce(logits, 1) for logits in judge(fake))


# --- Their tensors in our trees -------------------------------------------------------------------


def ours(named: Iterable[tuple[str, Tensor]]) -> dict[str, Any]:
    """Return a tree of arrays as ours for (name, tensor), of parameters or of their gradients."""
    tree: dict[str, Any] = {}
    for name, tensor in named:
        *path, module, kind = name.split(".")
        x = tensor.detach().numpy()
        if module.startswith("norm"):
            leaf = [f"{'gamma' if kind == 'weight' else 'beta'}_{module[-1]}"]
        else:
            leaf = [module, "kernel" if kind == "weight" else "bias"]
        if x.ndim == 4:
            transposed = module.startswith("up")
            x = x[:, :, ::-1, ::-1].transpose(2, 3, 0, 1) if transposed else x.transpose(2, 3, 1, 0)
        elif x.ndim == 2:
            x = x.T
        place = tree
        for key in [*path, *leaf[:-1]]:
            place = place.setdefault(key, {})
        place[leaf[-1]] = np.ascontiguousarray(x)
    return tree
