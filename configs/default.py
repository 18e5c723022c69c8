"""Every field there is, with the paper's values; the experiments beside this file change a few.

Override any of them on the command line: `--config.train.batch_size=8`.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting without a data set. `variant`: "" (full) or "light"."""
    if variant not in ("", "light"):
        raise ValueError(f"no variant {variant!r}: leave it out, or say :light")
    config = ConfigDict()

    # Draws the first weights, the order of the pictures and their augmentation.
    config.seed = 0
    # Inputs of convolutions and matrix products: "float32", "bfloat16", or "auto": bfloat16 on TPU
    # and GPU, float32 on CPU. Parameters, statistics and losses are always float32.
    config.dtype = "auto"

    config.model = model = ConfigDict()
    # How gamma and beta of AdaLIN are computed: from the flattened feature map (full, False) or
    # from its spatial mean (light, True), which has 4 % of the parameters and takes any image size.
    model.light = variant == "light"
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

    config.data = data = ConfigDict()
    # A folder with trainA, trainB, testA, testB; or "tfds:cycle_gan/horse2zebra"; or "emoji".
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

    # Weights of the terms of the objective: lambda 1 to 4 of the paper.
    config.loss = loss = ConfigDict()
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
    # Decay per step of a moving average of the generators, used for pictures; 0: none. Paper: none.
    train.ema_decay = 0.0

    # Steps between log lines and TensorBoard scalars.
    config.log_every = 100

    config.samples = samples = ConfigDict()
    # Steps between sample grids (0: none), and test pictures per domain in them.
    samples.every = 1_000
    samples.count = 4

    config.checkpoint = checkpoint = ConfigDict()
    # Steps between checkpoints. The last step and an interrupted one are always saved.
    checkpoint.every = 5_000
    # Newest checkpoints to keep, and steps between those that are kept for good (0: none).
    checkpoint.keep = 3
    checkpoint.keep_every = 100_000

    return config
