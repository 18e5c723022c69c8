"""Every field of a config that all methods share; a method's own are in its file in `methods/`.

The experiments in configs/ change a few. Override any of them on the command line:
`--config.train.batch_size=8`.
"""

from typing import Any

from ml_collections import ConfigDict

from ugatit_jax.methods import METHODS, find_fields, find_variants


def get_config(variant: str = "") -> ConfigDict:
    """The setting of a method's authors, without a data set.

    `variant`: words separated by commas: one of METHODS; and the method's own, which do without its
    name: "light", "pytorch" and "tensorflow" are U-GAT-IT's, "drit++" is DRIT's. Raises
    `ValueError` for another word.
    """
    words = variant.split(",") if variant else []
    name = _method_of(words)
    variants = find_variants(name)
    known: dict[str, dict[str, Any]] = {name: {}} | variants
    for word in words:
        if word not in known:
            others = dict.fromkeys([*variants, *METHODS])
            raise ValueError(f"no variant {word!r}: leave it out, or say :{', :'.join(others)}")
    config = shared()
    config.method = name
    for field, value in find_fields(name).items():
        section, _, field = field.partition(".")
        config[section][field] = value
    for word in words:
        config.update_from_flattened_dict(known[word])
    return config.lock()


def _method_of(words: list[str]) -> str:
    """Return the method that a word names, else one that a word is a variant of, else U-GAT-IT."""
    named = [word for word in words if word in METHODS]
    known = [name for word in words for name in METHODS if word in find_variants(name)]
    return next(iter(named + known), "ugatit")


def shared() -> ConfigDict:
    """Return the fields that all methods have, with the values of U-GAT-IT's paper."""
    config = ConfigDict()

    # What is trained: "ugatit", "cyclegan", "unit", "munit", "drit", "aggan", "cartoongan".
    config.method = "ugatit"
    # What a new training begins from, with new optimisers and step 0: a run, an export, the model
    # "emoji" that comes with the program, or a file of the authors' weights. "": from nothing.
    config.init_from = ""
    # Draws the first weights, the order of the pictures and their augmentation.
    config.seed = 0
    # Inputs of convolutions and matrix products: "float32", "bfloat16", or "auto": bfloat16 on TPU
    # and GPU, float32 on CPU. Parameters, statistics and losses are always float32.
    config.dtype = "auto"

    # What becomes of a step with a loss or gradient that is NaN or infinite, which leaves its
    # pictures and terms in the run's divergence/STEP: "stop" ends the run, earlier checkpoints as
    # they were; "skip" leaves the step out, and takes the memory of another state; "rollback" goes
    # back to the newest checkpoint, and on with the pictures in another order.
    config.on_nonfinite = "stop"
    # Steps that may be left out, or rollbacks, before the run ends all the same.
    config.nonfinite_limit = 10

    # The method's own: its networks, and the terms of its objective.
    config.model = ConfigDict()
    config.loss = ConfigDict()

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
    # Devices that share the parameters that a method splits, such as the first dense layer of
    # U-GAT-IT's full generators, 96 % of its weights, instead of each having a copy; it divides the
    # number of devices. 0: as many as there are in a slice.
    mesh.model = 0

    config.train = train = ConfigDict()
    # Steps in all; in one, every player of the method moves in its turn. Paper: 1 000 000.
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
    # Parts of a device's share of the batch, gone through one after the other before each move:
    # the same losses and gradients, in the memory of one part, for about 15 % more work.
    train.accumulate = 1
    # What of a forward pass is computed again for its backward pass, to save memory: "none";
    # "convolutions": all but the outputs of convolutions and matrix products; or "all".
    train.remat = "none"
    # What learning_rate is multiplied by for a batch of n: "none": 1, as in the paper; "sqrt": √n,
    # which keeps Adam on the path of small batches with beta1 and beta2 as they are, as long as n
    # times fewer steps are enough; "linear": n, the rule for SGD.
    train.learning_rate_scaling = "none"
    # On a GPU: sum in the same order each time, which is slower, so that a resumed run is bit for
    # bit the one that was not stopped there, too. On TPUs and CPUs it is so anyway.
    train.deterministic = False
    # Decay per step of a moving average of the generators, used for pictures; 0: none. Paper: none.
    train.ema_decay = 0.0

    # Steps between log lines and TensorBoard scalars.
    config.log_every = 100
    # Project of Weights & Biases, PROJECT or TEAM/PROJECT, that scalars and sample grids go to as
    # well; "": none. It takes the extra `wandb`.
    config.wandb = ""

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
    # Share of the test pictures that KID while training leaves alone. `evaluate --held-out` scores
    # these: then the best step is not scored by the pictures that chose it.
    evaluation.held_out = 0.0
    # What KID looks at: "efficientnet-lite0", which comes with the program; "inception", downloaded
    # once; the path of Inception's file; or "auto": inception if it was downloaded, else the other.
    evaluation.features = "auto"

    config.checkpoint = checkpoint = ConfigDict()
    # Steps between checkpoints. The last step and an interrupted one are always saved.
    checkpoint.every = 5_000
    # Newest checkpoints to keep, and steps between those that are kept for good (0: none).
    checkpoint.keep = 3
    checkpoint.keep_every = 100_000
    return config
