"""Models on a hub, hf://OWNER/NAME: exports that others have published."""

from pathlib import Path

from ugatit_jax.console.errors import InputError, TransientError, in_a_line
from ugatit_jax.console.extras import require

SCHEME = "hf://"
# What an export is made of, and nothing else: no code comes along.
FILES = ["export.json", "config.json", "*.safetensors", "*.stablehlo"]


def fetch(address: str) -> Path:
    """Return the folder of hf://OWNER/NAME or hf://OWNER/NAME@REVISION, downloaded if need be.

    What is there already is used where the hub cannot be reached. Raises `InputError` for another
    form, for a model that there is not, and where the hub cannot be reached.
    """
    repository, _, revision = address.removeprefix(SCHEME).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"{address} is none of hf://OWNER/NAME and hf://OWNER/NAME@REVISION")
    require("hub", address)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = snapshot_download(repository, revision=revision or None, allow_patterns=FILES)
    except RepositoryNotFoundError:
        raise InputError(f"{address}: the hub has no such model, or does not show it") from None
    except LocalEntryNotFoundError:
        raise TransientError(f"{address}: the hub cannot be reached; try again later") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"{address} cannot be had: {in_a_line(error)}") from None
    return Path(folder)
