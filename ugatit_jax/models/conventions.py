"""What the paper leaves open, its authors' implementations differ in, or its ablation replaces."""

import dataclasses

CAM = ("both", "none", "generator", "discriminator")  # which networks have class attention


@dataclasses.dataclass(frozen=True)
class Conventions:
    """Architecture beyond the paper's tables; the defaults are those of the PyTorch original."""

    # Bessel's correction in the variances of AdaLIN and LIN; instance normalisation never has it.
    unbiased_variance: bool = True
    # A learned gamma and beta after every instance normalisation.
    affine_instance_norm: bool = False
    # Biases in every convolution and dense layer, or only in the attention's 1×1 convolutions and
    # in the discriminators before their last layer.
    bias_everywhere: bool = False
    # Class attention: one classifier for average and maximum, kernel + bias being the weight of
    # the map; or two without biases, their kernels (never spectrally normalised) the weights.
    shared_cam: bool = False
    # Pad the discriminators' 4×4 convolutions of stride 1 by 1 and 2 pixels, which keeps the size,
    # or by 1 and 1.
    same_padding: bool = False
    # AdaLIN's rho at the start of a training, and how much of it is withheld: the network uses
    # max(rho - rho_margin, 0), which keeps some of the layer's statistics.
    rho_start: float = 0.9
    rho_margin: float = 0.0
    # The decoder's normalisation, of normalization.DECODER_FORMS: the paper's, or its ablation's.
    decoder_norm: str = "adalin"
    # Which networks have class attention, of CAM: all, or only some.
    cam: str = "both"
    # Spectral normalisation of the discriminators, all but their 1×1 convolutions.
    spectral_norm: bool = True

    @property
    def generator_attends(self) -> bool:
        """Whether generators have class attention."""
        return self.cam in ("both", "generator")

    @property
    def discriminator_attends(self) -> bool:
        """Whether discriminators have class attention."""
        return self.cam in ("both", "discriminator")
