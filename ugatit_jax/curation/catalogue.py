"""The five data sets of the paper's tables: where they can be had, and how many pictures they have.

Sizes and splits: those of U-GAT-IT's paper; CycleGAN's sets as TensorFlow Datasets counts them, and
DRIT's as its authors' README does. Checksums: TensorFlow Datasets'. Where nobody gives one there is
none, and the pictures are counted instead.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A file to download: addresses in the order in which they are tried, and what is known of it.

    size: in bytes. None: not known.
    """

    file: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Side:
    """How many pictures a domain has, and how many of them are to test with.

    split_is_known: whether those who made the set say that number; where they do not, it is what a
    domain without a split is given.
    """

    what: str
    total: int
    test: int
    split_is_known: bool = True

    @property
    def train(self) -> int:
        """How many pictures there are to train on."""
        return self.total - self.test


@dataclass(frozen=True)
class PublicSet:
    """A data set: its two domains, where it can be had, and who is to be named for it."""

    a: Side
    b: Side
    archive: Archive
    origin: str


_CYCLE_GAN = (
    "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
    "http://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets",
)
_DRIT = "http://vllab.ucmerced.edu/hylee/DRIT/datasets"

SETS = {
    "selfie2anime": PublicSet(
        Side("selfies", 3500, 100),
        Side("anime faces", 3500, 100),
        Archive(
            "selfie2anime.zip",
            (
                "https://drive.usercontent.google.com/download"
                "?id=1xOWj1UVgp6NKMT3HbPhBbtq2A4EDkghF&export=download&confirm=t",
                "https://www.dropbox.com/s/9lz6gwwwyyxpdnn/selfie2anime.zip?dl=1",
            ),
        ),
        "Kim et al., ICLR 2020; linked from github.com/znxlwm/UGATIT-pytorch",
    ),
    "horse2zebra": PublicSet(
        Side("horses", 1067 + 120, 120),
        Side("zebras", 1334 + 140, 140),
        Archive(
            "horse2zebra.zip",
            tuple(f"{site}/horse2zebra.zip" for site in _CYCLE_GAN),
            116_867_962,
            "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
        ),
        "Zhu et al., ICCV 2017; pictures from ImageNet",
    ),
    "photo2vangogh": PublicSet(
        Side("photographs", 6287 + 751, 751),
        Side("paintings by Van Gogh", 400 + 400, 400),
        Archive(
            "vangogh2photo.zip",
            tuple(f"{site}/vangogh2photo.zip" for site in _CYCLE_GAN),
            306_590_349,
            "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
        ),
        "Zhu et al., ICCV 2017; pictures from Flickr and WikiArt. The 400 paintings to test with "
        "are those that are trained on",
    ),
    "cat2dog": PublicSet(
        Side("cats", 871, 100, split_is_known=False),
        Side("dogs", 1364, 100, split_is_known=False),
        Archive("cat2dog.zip", (f"{_DRIT}/cat2dog.zip",)),
        "Lee et al., ECCV 2018",
    ),
    "photo2portrait": PublicSet(
        Side("photographs", 6452, 751, split_is_known=False),
        Side("painted portraits", 1811, 400, split_is_known=False),
        Archive("portrait.zip", (f"{_DRIT}/portrait.zip",)),
        "Lee et al., ECCV 2018; pictures from CelebA and WikiArt",
    ),
}
