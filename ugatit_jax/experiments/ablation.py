"""The paper's ablation, a variant for each of its rows, on the demo's pictures and at its size.

    python -m ugatit_jax.main --config=configs/ablation.py:adain
    python -m ugatit_jax.main --config=configs/ablation.py:adain --config.seed=1

The words are "adalin", "in", "ln", "adain" and "gn", of the decoder's normalisation; "no_cam",
"generator_cam" (w/o D_CAM in the paper) and "discriminator_cam" (w/o G_CAM). Any config takes them:
the paper's own rows are `configs/selfie2anime.py:adain` and so on, with KID×100 (mean of two KIDs)
11.61 / 11.52 for AdaLIN, IN 13.64 / 13.58, LN 12.39 / 13.17, AdaIN 12.29 / 11.81, GN 12.76 / 12.30,
w/o CAM 12.85 / 14.06, w/o G_CAM 12.33 / 13.86, w/o D_CAM 12.49 / 13.33.
Ours, five minutes of each on emoji: docs/ablation.md. There the generator's attention costs half of
the score.
"""

from ml_collections import ConfigDict

from ugatit_jax.experiments import demo


def get_config(variant: str = "") -> ConfigDict:
    """The demo's small networks, with the paper's objective; `variant`: a row, the first if none.

    Further words go with it: "adain,tensorflow", or "ours,no_cam" for the demo's recipe. Where two
    set one field, the later one does.
    """
    return demo.get_config(variant or "adalin")
