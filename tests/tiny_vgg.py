"""A VGG of torchvision's layers, a few channels wide, with random weights, and its file."""

from pathlib import Path

import torch

from benchmarks.peers import fidelity  # noqa: F401, after which torchvision can be imported anywhere

from torchvision.models import vgg  # isort: skip

SPANS = {"VGG16": "D", "VGG19": "E"}  # torchvision's letters


def layers(network: str, width: int | None = None) -> torch.nn.Sequential:
    """torchvision's layers, of a width times few channels; None: of its own widths, not random."""
    sizes = {64: 2, 128: 3, 256: 4, 512: 5}
    plan = [x if x == "M" or width is None else width * sizes[x] for x in vgg.cfgs[SPANS[network]]]
    net = vgg.make_layers(plan)
    if width is None:
        return net
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3, generator=random)
    return net


def features(net: torch.nn.Sequential, pictures: torch.Tensor, last: int) -> torch.Tensor:
    """Of pictures [N, 3, H, W] in [-1, 1], up to and with the layer of a number."""
    mean, deviation = (
        torch.tensor(x, dtype=pictures.dtype).reshape(1, 3, 1, 1)
        for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return net[: last + 1](((pictures + 1) / 2 - mean) / deviation)


def save(path: Path, network: str = "VGG16") -> Path:
    """Write a file as torchvision publishes them, but for its widths and its classifier."""
    tensors = {f"features.{name}": x for name, x in layers(network, 1).state_dict().items()}
    torch.save(tensors, path)
    return path
