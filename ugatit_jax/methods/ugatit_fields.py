"""U-GAT-IT's fields in a config, the paper's values, and the authors' two implementations."""

from typing import Any

FIELDS: dict[str, Any] = {
    # How gamma and beta of AdaLIN are computed: from the flattened feature map (full, False) or
    # from its spatial mean (light, True), which has 4 % of the parameters and takes any image size.
    "model.light": False,
    # Light ones in between: they see the map's means over so many parts along each side. 1: its
    # mean, as the authors have it. The map has a quarter of the picture's side.
    "model.mlp_pool": 1,
    # Channels after the first convolution, of generators and discriminators. Paper: 64.
    "model.base_width": 64,
    # Residual blocks in the encoder, and again in the decoder. Paper: 4.
    "model.residual_blocks": 4,
    # Depth of the two discriminators per domain, counted as in the paper's tables: N - 2
    # convolutions of stride 2, one of stride 1, one for the logits. Paper: 5 and 7. The global one
    # sees patches of 286 px and needs pictures of 3 * 2^(N - 2) px: 96 px at the paper's depth.
    "model.local_layers": 5,
    "model.global_layers": 7,
    # First weights of convolutions and dense layers: "normal", N(0, 0.02) as in the paper, or
    # "uniform", U(±1/sqrt(fan_in)), what the authors' PyTorch implementation starts from.
    "model.initializer": "normal",
    # What a generator adds to what its last convolution says, in the place of tanh: "none", as in
    # the paper; "full", the input, so that it begins near the identity, for domains that share
    # their layout; "low", the input's low frequencies alone.
    "model.skip": "none",
    # When pictures are translated, not in the losses: the mean of their translations when they are
    # moved by so many places along each side, 1, 2 or 4, which takes n² times as long. A generator
    # leaves a grid of 4 px, of which it frees them.
    "model.shifts": 1,
    # With a skip, when pictures are translated, not in the losses: what is added is averaged within
    # a window of so many px to each side, over pixels of the same fill, so that fills are as flat
    # as the input's. 0: is not. For drawings.
    "model.flatten": 0,
    # With a skip, when pictures are translated, and after that: what is added is brought this much
    # nearer to 0, in units of pictures in [-1, 1], so that what hardly changes stays as it is.
    "model.soft_threshold": 0.0,
    # Spectral normalisation of the discriminators, all but their 1x1 convolutions.
    "model.spectral_norm": True,
    # The decoder's normalisation. "adalin": AdaLIN in the residual blocks, LIN in the up-sampling
    # ones; "adain": AdaIN and instance normalisation; or one for all blocks, which learns its own
    # gamma and beta and has no use for the layers that compute them (nor for `light`): "in", "ln",
    # "gn" (instance, layer; groups of channels, 32 where that leaves two or more in each).
    "model.decoder_norm": "adalin",
    # Which networks have class attention: "both" kinds, only the "generator"s, only the
    # "discriminator"s, or "none". Without it generators have no heat map and no term loss.cam, and
    # discriminators no heat map and no logits of their classifier in the adversarial term.
    "model.cam": "both",
    # The rest of `model` is what the preset "tensorflow" changes.
    # Bessel's correction in the variances of AdaLIN and LIN.
    "model.unbiased_variance": True,
    # A learned gamma and beta after every instance normalisation.
    "model.affine_instance_norm": False,
    # Biases in every convolution and dense layer, or only in class attention's 1x1 convolutions and
    # in the discriminators before their last layer.
    "model.bias_everywhere": False,
    # Class attention: one classifier with a bias for both poolings, whose (normalised) kernel +
    # bias weighs the map; or two without a bias, whose raw kernels do.
    "model.shared_cam": False,
    # Pad the discriminators' 4x4 convolutions of stride 1 by 1 and 2 px, so that the maps keep
    # their size, or by 1 and 1 px.
    "model.same_padding": False,
    # AdaLIN's rho at the start, and how much of it is withheld: max(rho - rho_margin, 0) counts.
    "model.rho_start": 0.9,
    "model.rho_margin": 0.0,
    # The adversarial term: "lsgan" as in the paper, "gan", "hinge", "wgan-gp", "wgan-lp", "dragan".
    "loss.kind": "lsgan",
    # Weight, within that term, of the gradient penalty that the last three have.
    "loss.penalty": 10.0,
    # Weights of the terms of the objective: lambda 1 to 4 of the paper.
    "loss.adversarial": 1.0,
    "loss.cycle": 10.0,
    "loss.identity": 10.0,
    "loss.cam": 1000.0,
}
# Where the authors' two implementations differ. The values above are those of PyTorch.
PRESETS: dict[str, dict[str, Any]] = {
    "pytorch": {},
    "tensorflow": {
        "model.unbiased_variance": False,
        "model.affine_instance_norm": True,
        "model.bias_everywhere": True,
        "model.shared_cam": True,
        "model.same_padding": True,
        "model.rho_start": 1.0,
        "model.rho_margin": 0.1,
        "train.decay_kernels_only": True,
        "train.tf1_epsilon": True,
    },
}
# What made better pictures than the paper's setting in minutes to hours on a CPU: docs/quality.md.
_BOTH: dict[str, Any] = {"model.cam": "discriminator", "train.ema_decay": 0.999}
# Of domains that share their layout, as two styles of drawing do.
OURS: dict[str, Any] = _BOTH | {
    "model.skip": "full",
    "model.flatten": 5,
    "model.soft_threshold": 0.03,
}
# Of domains whose shapes differ, as those of faces and of drawn faces do.
SHAPES: dict[str, Any] = _BOTH | {
    "model.skip": "low",
    "model.shifts": 2,
    "loss.adversarial": 4.0,
}
# The rows of the paper's ablation, which has all of it on selfie2anime.
ABLATION: dict[str, dict[str, Any]] = {
    "adalin": {},
    "in": {"model.decoder_norm": "in"},
    "ln": {"model.decoder_norm": "ln"},
    "adain": {"model.decoder_norm": "adain"},
    "gn": {"model.decoder_norm": "gn"},
    "no_cam": {"model.cam": "none"},
    "generator_cam": {"model.cam": "generator"},  # "w/o D_CAM"
    "discriminator_cam": {"model.cam": "discriminator"},  # "w/o G_CAM"
}
VARIANTS: dict[str, dict[str, Any]] = {
    "light": {"model.light": True},
    "ours": OURS,
    "shapes": SHAPES,
    **PRESETS,
    **ABLATION,
}
