"""U-GAT-IT in PyTorch, as its users would write it: what speed and pictures are compared with.

Written from the paper and from recorded numbers of the authors' PyTorch implementation, whose
names the tensors have, so that its state_dicts load. `PLAIN` does the work that the authors' step
does; `EAGER` and `COMPILED` get the same numbers with less of it (tests/benchmarks).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

ADVERSARIAL, CYCLE, IDENTITY, CAM = 1, 10, 10, 1000  # lambda 1 to 4


@dataclasses.dataclass(frozen=True)
class Form:
    """How a step is computed, not what."""

    # Translate once for both players; of the generators' loss, skip the judges' gradients.
    shared: bool = False
    channels_last: bool = False
    fused_adam: bool = False
    compiled: bool = False
    bfloat16: bool = False  # in the networks, by autocast


PLAIN = Form()
EAGER = Form(shared=True, channels_last=True, fused_adam=True)
COMPILED = dataclasses.replace(EAGER, compiled=True)


# --- Networks -------------------------------------------------------------------------------------


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


# --- Training -------------------------------------------------------------------------------------


class Peer:
    """The six networks, their optimisers, and the training step."""

    def __init__(
        self,
        *,
        light: bool,
        width: int,
        blocks: int,
        size: int,
        steps: int = 1_000_000,
        layers: tuple[int, int] = (5, 7),
        learning_rate: float = 1e-4,
        form: Form = PLAIN,
        device: str = "cpu",
        seed: int = 0,
    ):
        """Draw the networks' first weights.

        Args:
          light, width, blocks, size: of the generators, for pictures of size × size px.
          steps: after half of them the learning rate begins to fall.
          layers: of local and of global discriminators.
          learning_rate: of the first half.
          form: how to compute.
          device: of PyTorch, "cpu" or "cuda".
          seed: of all random numbers.
        """
        torch.manual_seed(seed)
        self.form, self.device = form, torch.device(device)
        self.networks: dict[str, nn.Module] = {
            name: Generator(width, blocks, size, light, form.channels_last)
            for name in ("genA2B", "genB2A")
        }
        for domain in "AB":
            for scale, depth in zip("LG", layers, strict=True):
                self.networks[f"dis{scale}{domain}"] = Discriminator(width, depth)
        for network in self.networks.values():
            network.to(self.device).to(memory_format=self._layout)  # type: ignore[call-overload]
            if form.compiled:
                network.compile(dynamic=False)
        self._params = {
            kind: [
                p
                for name, net in self.networks.items()
                if name[:3] == kind
                for p in net.parameters()
            ]
            for kind in ("gen", "dis")
        }
        self.optimizers = {
            kind: torch.optim.Adam(
                params,
                lr=learning_rate,
                betas=(0.5, 0.999),
                weight_decay=1e-4,
                fused=form.fused_adam,
            )
            for kind, params in self._params.items()
        }
        half = max(steps // 2, 1)
        self.schedules = {
            kind: torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda done: min(1.0, max(0.0, 1 - (done + 1 - half) / half))
            )
            for kind, optimizer in self.optimizers.items()
        }

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.form.channels_last else torch.contiguous_format

    def place(self, pictures: np.ndarray) -> Tensor:
        """Return uint8 pictures [N, H, W, 3] as the networks take them, in [-1, 1]."""
        x = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2)
        return (x.float() / 127.5 - 1).contiguous(memory_format=self._layout)

    def train(self, batch: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Do a step on uint8 pictures 'a' and 'b' [N, H, W, 3]; return the losses, as `step`."""
        return self.step(self.place(batch["a"]), self.place(batch["b"]))

    def translate(self, pictures: np.ndarray, direction: str) -> np.ndarray:
        """Translate uint8 pictures [N, H, W, 3], 'a2b' or 'b2a'."""
        with torch.no_grad():
            image = self.generate(direction, self.place(pictures))[0]
        levels = ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1).cpu().numpy()

    def generate(self, direction: str, x: Tensor) -> tuple[Tensor, ...]:
        """Return what a generator, 'a2b' or 'b2a', says of x [N, 3, H, W]."""
        return self._run({"a2b": "genA2B", "b2a": "genB2A"}[direction], x)

    def _run(self, name: str, x: Tensor) -> tuple[Tensor, ...]:
        if not self.form.bfloat16:
            return self.networks[name](x)
        with torch.autocast(self.device.type, torch.bfloat16):
            results = self.networks[name](x)
        return tuple(result.float() for result in results)

    def step(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """Move the discriminators, then the generators, on one batch, [N, 3, H, W] each.

        Returns the losses, unweighted, and the two totals, 'Discriminator_loss' and
        'Generator_loss'.
        """
        real = {"A": real_a, "B": real_b}
        fakes = self._fakes(real)
        images = {domain: fake[0] for domain, fake in fakes.items()}
        if self.form.shared:
            images = {domain: image.detach() for domain, image in images.items()}
        d_losses = self.discriminator_losses(real, images)
        self._move("dis", d_losses["Discriminator_loss"])

        if self.form.shared:
            self._let_judges_learn(False)
        else:
            fakes = self._fakes(real)
        g_losses = self.generator_losses(real, fakes)
        self._move("gen", g_losses["Generator_loss"])
        self._let_judges_learn(True)
        self._clip_rho()
        for schedule in self.schedules.values():
            schedule.step()
        return {name: loss.detach() for name, loss in (d_losses | g_losses).items()}

    def _fakes(self, real: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {"A": self.generate("b2a", real["B"]), "B": self.generate("a2b", real["A"])}

    def discriminator_losses(
        self, real: dict[str, Tensor], fakes: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the discriminators' losses by the names that they have in the records."""
        losses: dict[str, Tensor] = {}
        for domain in "AB":
            for scale in "GL":
                of_real = self._run(f"dis{scale}{domain}", real[domain])
                of_fake = self._run(f"dis{scale}{domain}", fakes[domain])
                for name, r, f in zip(("ad_loss", "ad_cam_loss"), of_real, of_fake, strict=False):
                    loss = F.mse_loss(r, torch.ones_like(r)) + F.mse_loss(f, torch.zeros_like(f))
                    losses[f"D_{name}_{scale}{domain}"] = loss
        losses["Discriminator_loss"] = ADVERSARIAL * torch.stack([*losses.values()]).sum()
        return losses

    def generator_losses(
        self, real: dict[str, Tensor], fakes: dict[str, tuple[Tensor, ...]]
    ) -> dict[str, Tensor]:
        """Return the generators' losses by the names that they have in the records."""
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        for domain, other, into in (("A", "B", "b2a"), ("B", "A", "a2b")):
            image, cam_logits, _ = fakes[domain]
            same, same_cam_logits, _ = self.generate(into, real[domain])
            cycled = self.generate(into, fakes[other][0])[0]
            for scale in "GL":
                judged = self._run(f"dis{scale}{domain}", image)
                for name, logits in zip(("ad_loss", "ad_cam_loss"), judged, strict=False):
                    loss = F.mse_loss(logits, torch.ones_like(logits))
                    losses[f"G_{name}_{scale}{domain}"] = loss
                    total = total + ADVERSARIAL * loss
            cycle, identity = F.l1_loss(cycled, real[domain]), F.l1_loss(same, real[domain])
            bce = F.binary_cross_entropy_with_logits
            cam = bce(cam_logits, torch.ones_like(cam_logits))
            cam = cam + bce(same_cam_logits, torch.zeros_like(same_cam_logits))
            losses[f"G_recon_loss_{domain}"] = cycle
            losses[f"G_identity_loss_{domain}"] = identity
            losses[f"G_cam_loss_{domain}"] = cam
            total = total + CYCLE * cycle + IDENTITY * identity + CAM * cam
        return losses | {"Generator_loss": total}

    def _move(self, kind: str, loss: Tensor) -> None:
        # In the plain form each player's loss leaves gradients in the other's networks, too.
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[kind].step()

    def _let_judges_learn(self, learn: bool) -> None:
        for param in self._params["dis"]:
            param.requires_grad_(learn)

    def _clip_rho(self) -> None:
        with torch.no_grad():
            for name in ("genA2B", "genB2A"):
                for module in self.networks[name].modules():
                    if isinstance(module, (AdaLIN, LIN)):
                        module.rho.clamp_(0, 1)
