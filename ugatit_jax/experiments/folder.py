"""Pictures of your own: a folder with trainA, trainB and, if there are any, testA, testB.

    python -m ugatit_jax.main --config=folder --config.data.source=my_pictures --workdir=runs/mine

Copy this file, answer the questions in it, and give the copy to --config; or answer them on the
command line, by the fields that are named. Any word takes the place of "light": `folder:pytorch` is
the full network of the paper, `folder:light,ours` is for styles of drawing, `folder:light,shapes`
for faces and drawn faces, `folder:cyclegan` another method.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields

# 1. Where are they? (data.source) Hundreds of pictures of each side are few, thousands are better.
SOURCE = "my_pictures"

# 2. How large are they to be, height and width in px? (data.image_size) Multiples of 4, of the
#    shape that most pictures have: others are scaled to cover it and cut. Time and memory grow with
#    the area. Small pictures are the way to find out in hours whether a pair of domains works.
SIZE = (256, 256)

# 3. May a picture be mirrored? (data.flip) No where there is writing, or where left is not right.
MIRROR = True

# 4. How many steps? (train.steps) The rate falls in the second half of them, however many they are.
#    The paper takes 1 000 000. This is our choice for a first run, which nothing has measured.
STEPS = 200_000

# 5. How many pictures of each side at once? (train.batch_size) As many as devices, or a multiple.
BATCH_SIZE = 1


def get_config(variant: str = "") -> ConfigDict:
    """The light network, or what the words of `variant` name, with the answers from above."""
    config = fields.get_config(variant or "light")
    config.data.source = SOURCE
    config.data.image_size = SIZE
    config.data.flip = MIRROR
    config.train.steps = STEPS
    config.train.batch_size = BATCH_SIZE
    # The paper's discriminators see more than small pictures have: they lose layers.
    for layers in ("local_layers", "global_layers"):
        if layers in config.model:
            config.model[layers] = min(config.model[layers], _most_layers(min(SIZE)))
    return config


def _most_layers(side: int) -> int:
    """Layers of a discriminator of U-GAT-IT's that takes pictures of `side` px: 3·2^(n - 2) px."""
    return max(3, (side // 3).bit_length() + 1)
