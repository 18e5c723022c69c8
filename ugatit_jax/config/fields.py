"""Every field there is, with the paper's values; the experiments beside this file change a few.

Override any of them on the command line: `--config.train.batch_size=8`.
"""

from ml_collections import ConfigDict

# Where the authors' two implementations differ. The values in `get_config` are those of PyTorch.
PRESETS = {
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
VARIANTS = ("light", *PRESETS)


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting without a data set.

    `variant`: any of VARIANTS, separated by commas: "light" (else full), and one of PRESETS.
    """
    words = variant.split(",") if variant else []
    for word in words:
        if word not in VARIANTS:
            raise ValueError(f"no variant {word!r}: leave it out, or say :{', :'.join(VARIANTS)}")
    config = ConfigDict()

    # Draws the first weights, the order of the pictures and their augmentation.
    config.seed = 0
    # Inputs of convolutions and matrix products: "float32", "bfloat16", or "auto": bfloat16 on TPU
    # and GPU, float32 on CPU. Parameters, statistics and losses are always float32.
    config.dtype = "auto"

    config.model = model = ConfigDict()
    # How gamma and beta of AdaLIN are computed: from the flattened feature map (full, False) or
    # from its spatial mean (light, True), which has 4 % of the parameters and takes any image size.
    model.light = "light" in words
    # Channels after the first convolution, of generators and discriminators. Paper: 64.
    model.base_width = 64
    # Residual blocks in the encoder, and again in the decoder. Paper: 4.
    model.residual_blocks = 4
    # Depth of the two discriminators per domain, counted as in the paper's tables: N - 2
    # convolutions of stride 2, one of stride 1, one for the logits. Paper: 5 and 7. The global one
    # sees patches of 286 px and needs pictures of 3 * 2^(N - 2) px: 96 px at the paper's depth.
    model.local_layers = 5
    model.global_layers = 7
    # First weights of convolutions and dense layers: "normal", N(0, 0.02) as in the paper, or
    # "uniform", U(±1/sqrt(fan_in)), what the authors' PyTorch implementation starts from.
    model.initializer = "normal"
    # Spectral normalisation of the discriminators, all but their 1x1 convolutions.
    model.spectral_norm = True
    # The rest of `model` is what the preset "tensorflow" changes.
    # Bessel's correction in the variances of AdaLIN and LIN.
    model.unbiased_variance = True
    # A learned gamma and beta after every instance normalisation.
    model.affine_instance_norm = False
    # Biases in every convolution and dense layer, or only in class attention's 1x1 convolutions and
    # in the discriminators before their last layer.
    model.bias_everywhere = False
    # Class attention: one classifier with a bias for both poolings, whose (normalised) kernel +
    # bias weighs the map; or two without a bias, whose raw kernels do.
    model.shared_cam = False
    # Pad the discriminators' 4x4 convolutions of stride 1 by 1 and 2 px, so that the maps keep
    # their size, or by 1 and 1 px.
    model.same_padding = False
    # AdaLIN's rho at the start, and how much of it is withheld: max(rho - rho_margin, 0) counts.
    model.rho_start = 0.9
    model.rho_margin = 0.0

    config.data = data = ConfigDict()
    # A folder, here or at gs://…, with trainA, trainB, testA, testB; or
    # "tfds:cycle_gan/horse2zebra"; or "emoji".
    data.source = ""
    # (height, width) in px, both multiples of 4. Paper: 256 x 256.
    data.image_size = (256, 256)
    # Training pictures are resized to load_scale * image_size, then cropped at random.
    # Paper: 286/256.
    data.load_scale = 286 / 256
    # Mirror half of the training pictures left to right.
    data.flip = True
    # Go on without the unreadable pictures (True), or stop and list them (False).
    data.skip_bad = False
    # Decoded training pictures are kept in this much host memory (GiB, all of them or none).
    data.cache_gib = 4.0
    # Where downloaded or rendered data sets are kept. "": $XDG_CACHE_HOME/ugatit_jax.
    data.cache_dir = ""

    config.mesh = mesh = ConfigDict()
    # Devices that share the first dense layer of a full generator, 96 % of its weights, instead of
    # each having a copy; it divides the number of devices. 0: as many as there are in a slice.
    mesh.model = 0

    # Weights of the terms of the objective: lambda 1 to 4 of the paper.
    config.loss = loss = ConfigDict()
    # The adversarial term: "lsgan" as in the paper, "gan", "hinge", "wgan-gp", "wgan-lp", "dragan".
    loss.kind = "lsgan"
    # Weight, within that term, of the gradient penalty that the last three have.
    loss.penalty = 10.0
    loss.adversarial = 1.0
    loss.cycle = 10.0
    loss.identity = 10.0
    loss.cam = 1000.0

    config.train = train = ConfigDict()
    # Steps in all; one updates the discriminators, then the generators. Paper: 1 000 000.
    train.steps = 1_000_000
    # Pictures per domain and step, over all devices and processes. Paper: 1.
    train.batch_size = 1
    # Adam, constant for the first half of the steps, then linearly to 0. Paper: 1e-4.
    train.learning_rate = 1e-4
    train.beta1 = 0.5
    train.beta2 = 0.999
    # L2 penalty, added to the gradient before Adam (not decoupled). Paper: 1e-4.
    train.weight_decay = 1e-4
    # Which parameters it reaches: kernels only (as in TensorFlow), or all (as in PyTorch).
    train.decay_kernels_only = False
    # Whether Adam adds its epsilon of 1e-8 to the deviation before the bias is corrected, as in
    # TensorFlow 1, or after, as in PyTorch and in Adam's paper.
    train.tf1_epsilon = False
    # Parts of a device's share of the batch, gone through one after the other before each update:
    # the same losses and gradients, in the memory of one part, for about 15 % more work.
    train.accumulate = 1
    # What of a forward pass is computed again for its backward pass, to save memory: "none";
    # "convolutions": all but the outputs of convolutions and matrix products; or "all".
    train.remat = "none"
    # What learning_rate is multiplied by for a batch of n: "none": 1, as in the paper; "sqrt": √n,
    # which keeps Adam on the path of small batches with beta1 and beta2 as they are, as long as n
    # times fewer steps are enough; "linear": n, the rule for SGD.
    train.learning_rate_scaling = "none"
    # Decay per step of a moving average of the generators, used for pictures; 0: none. Paper: none.
    train.ema_decay = 0.0

    # Steps between log lines and TensorBoard scalars.
    config.log_every = 100

    config.samples = samples = ConfigDict()
    # Steps between sample grids (0: none), and test pictures per domain in them.
    samples.every = 1_000
    samples.count = 4

    config.eval = evaluation = ConfigDict()
    # Steps between KIDs of the translated test pictures to the target's (0: none); also at the end.
    # Each is logged, drawn in kid.png, and saves a checkpoint; the best one is kept. It takes two
    # test pictures of each domain.
    evaluation.every = 10_000
    # Test pictures of each domain at most. The paper's sets have about 100.
    evaluation.pictures = 1_000
    # What KID looks at: "efficientnet-lite0", which comes with the program; "inception", downloaded
    # once; the path of Inception's file; or "auto": inception if it was downloaded, else the other.
    evaluation.features = "auto"

    config.checkpoint = checkpoint = ConfigDict()
    # Steps between checkpoints. The last step and an interrupted one are always saved.
    checkpoint.every = 5_000
    # Newest checkpoints to keep, and steps between those that are kept for good (0: none).
    checkpoint.keep = 3
    checkpoint.keep_every = 100_000

    for preset in PRESETS.keys() & words:
        config.update_from_flattened_dict(PRESETS[preset])
    return config
