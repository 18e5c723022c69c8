"""What the paper leaves open, and its authors' two implementations settle differently."""

import dataclasses


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
    # Spectral normalisation of the discriminators, all but their 1×1 convolutions.
    spectral_norm: bool = True
