"""U-GAT-IT in PyTorch, as its users would write it: what speed and pictures are compared with.

Written from the paper and from recorded numbers of the authors' PyTorch implementation. `PLAIN`
does the work that the authors' step does; `EAGER` and `COMPILED` get the same numbers with less of
it: tests/benchmarks holds them to the records.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.torch_networks import LIN, AdaLIN, Discriminator, Generator, iterate_powers

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
                # eval: no power iteration. fullgraph: nothing is left to eager mode in silence.
                network.eval().compile(dynamic=False, fullgraph=True)
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
        if self.form.compiled and name.startswith("dis"):
            iterate_powers(self.networks[name])
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
