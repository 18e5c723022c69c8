"""The trained models that come with the program: exports that are known by their names."""

from pathlib import Path

import ugatit_jax
from ugatit_jax.data.storage import AnyPath, open_path, path_argument
from ugatit_jax.runs.hub import SCHEME, fetch

TRAINED = Path(ugatit_jax.__file__).parent / "trained"


def names() -> list[str]:
    """Return the names of the models, which are the folders of the package's `trained`."""
    return sorted(path.name for path in TRAINED.iterdir() if path.is_dir())


def open_model(name: str | AnyPath) -> AnyPath:
    """Return the folder of a run or an export; or of the model of that name, where there is none.

    hf://OWNER/NAME is a model of a hub. Raises `InputError` as `open_path` and `fetch` do.
    """
    if str(name).startswith(SCHEME):
        return fetch(str(name))
    path = open_path(name)
    return TRAINED / str(name) if str(name) in names() and not path.exists() else path


def model_argument(text: str) -> AnyPath:
    """Read an argument of a command line as `open_model` does."""
    return path_argument(text, open_model)
