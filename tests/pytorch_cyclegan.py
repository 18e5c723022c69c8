"""CycleGAN's networks of PyTorch's layers, from the paper's appendix 7.2, their tensors named as
in the authors' files."""

from collections import OrderedDict

import torch
from torch import nn


class Net(nn.Module):
    """A Sequential named `model`, which the names of the tensors in the files begin with."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Block(nn.Module):
    def __init__(self, width: int, norm: type[nn.Module]):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width)]
        other_half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width)]
        self.conv_block = nn.Sequential(*half, nn.ReLU(), *other_half)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


def generator(
    width: int, blocks: int, norm: type[nn.Module] = nn.InstanceNorm2d, colours: int = 3
) -> Net:
    """c7s1-64, d128, d256, R256 …, u128, u64, c7s1-3, of pictures with so many colours."""
    w = width
    return randomize(
        Net(
            *(nn.ReflectionPad2d(3), nn.Conv2d(colours, w, 7), norm(w), nn.ReLU()),
            *(nn.Conv2d(w, 2 * w, 3, 2, padding=1), norm(2 * w), nn.ReLU()),
            *(nn.Conv2d(2 * w, 4 * w, 3, 2, padding=1), norm(4 * w), nn.ReLU()),
            *(Block(4 * w, norm) for _ in range(blocks)),
            *(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1), norm(2 * w), nn.ReLU()),
            *(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1), norm(w), nn.ReLU()),
            *(nn.ReflectionPad2d(3), nn.Conv2d(w, colours, 7), nn.Tanh()),
        )
    )


def discriminator(width: int, layers: int, norm: type[nn.Module] = nn.InstanceNorm2d) -> Net:
    """C64, C128, C256 (so many layers, of stride 2), C512 and one logit, of stride 1."""
    modules = [nn.Conv2d(3, width, 4, 2, padding=1), nn.LeakyReLU(0.2)]
    inputs = width
    for i in range(1, layers + 1):
        outputs = width * (1, 2, 4, 8, 8)[i]
        stride = 2 if i < layers else 1
        modules += [nn.Conv2d(inputs, outputs, 4, stride, padding=1), norm(outputs)]
        modules += [nn.LeakyReLU(0.2)]
        inputs = outputs
    return randomize(Net(*modules, nn.Conv2d(inputs, 1, 4, 1, padding=1)))


def randomize(net: Net) -> Net:
    """Draw all parameters, biases too, the same for each network of one form."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.2, generator=random)
    return net


def with_statistics(net: Net) -> OrderedDict[str, torch.Tensor]:
    """Return the state_dict with what instance norms had in it before PyTorch 0.4."""
    tensors = net.state_dict()
    for name, module in net.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            tensors[f"{name}.running_mean"] = torch.zeros(module.num_features)
            tensors[f"{name}.running_var"] = torch.ones(module.num_features)
    return tensors
