"""The pictures that people choose between: inputs, and what each method made of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image
from tqdm import tqdm

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain
from ugatit_jax.data.pairs import match_names
from ugatit_jax.data.reading import read_file
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.runs.advice import what_is_there
from ugatit_jax.runs.directory import is_run
from ugatit_jax.runs.exports import is_exported

MOST = 9  # methods: a key of one digit for each, and as many as a page shows well
LONGEST_SIDE = 1024  # px, of what the page is sent


@dataclass(frozen=True)
class Contestants:
    """Inputs, and the translations of each method, picture i of input i."""

    inputs: Domain
    translations: dict[str, Domain]

    def show_input(self, i: int) -> bytes:
        """Return an input as PNG; cut to what the methods saw, if their results are of one size."""
        picture = self.inputs.load(i)
        shapes = {domain.load(i).shape[:2] for domain in self.translations.values()}
        return _png(images.cover_resize(picture, shapes.pop()) if len(shapes) == 1 else picture)

    def show(self, method: str, i: int) -> bytes:
        """Return a translation as PNG, without whatever else its file says."""
        return _png(self.translations[method].load(i))

    def checksums(self) -> tuple[str, dict[str, str]]:
        """Return checksums of the inputs and of each method's files, all of which are read.

        Raises `InputError` for a picture that cannot be shown.
        """
        total = len(self.inputs) * (1 + len(self.translations))
        with tqdm(total=total, unit="picture", disable=None) as progress:

            def checksum(domain: Domain) -> str:
                digest = hashlib.sha256()
                for i, source in enumerate(domain.sources):
                    domain.load(i)
                    digest.update(hashlib.sha256(read_file(source)).digest())
                    progress.update()
                return digest.hexdigest()[:16]

            of_methods = {name: checksum(domain) for name, domain in self.translations.items()}
            return checksum(self.inputs), of_methods


def _png(picture: np.ndarray) -> bytes:
    image = Image.fromarray(picture)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return images.encode(np.asarray(image), "png")


def find_contestants(
    paths: Sequence[AnyPath], inputs: Path, out: Path, direction: str, limit: int | None
) -> Contestants:
    """Find the translations of each path: a folder holds them, a run or an export makes them.

    inputs: the folder of pictures that were translated. out: gets the translations that are made,
    in translations/NAME. direction: of runs and exports. limit: the first so many inputs; None: all
    of them. Raises `InputError` for what does not go together, and before anything is compiled.
    """
    names = _names(paths)
    files = images.list_images(inputs)
    if not files:
        needed = ", ".join(sorted(images.EXTENSIONS))
        raise InputError(f"no pictures in --inputs {inputs}: it needs {needed}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no pictures: give 1 or more")
    all_inputs = Domain([file.relative_to(inputs).as_posix() for file in files], files)
    domain = all_inputs.first(limit)
    made = [is_run(path) or is_exported(path) for path in paths]
    ready = {
        name: _ready(path, domain, inputs)
        for name, path, is_made in zip(names, paths, made, strict=True)
        if not is_made
    }
    translations = {}
    for name, path in zip(names, paths, strict=True):
        folder = out / "translations" / name.replace("/", "_")
        found = ready.get(name) or _translate(path, inputs, folder, direction, len(domain))
        translations[name] = found
    return Contestants(domain, translations)


def _names(paths: Sequence[AnyPath]) -> list[str]:
    """The methods' names: those of their folders, or whole paths where two are alike."""
    if len(paths) < 2:
        raise InputError("one method alone leaves nothing to choose: give two or more")
    if len(paths) > MOST:
        raise InputError(f"{len(paths)} methods, and a page takes {MOST}: leave some out")
    names = [resolve(path).name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{double} is given twice: give each method once")
    return names


def _ready(folder: AnyPath, inputs: Domain, where: Path) -> Domain:
    """The translations that a folder holds, one for each input, by their names."""
    files = images.list_images(folder) if folder.is_dir() else []
    if not files:
        raise InputError(f"no run and no translations in {folder}: {what_is_there(folder)}")
    names = [file.relative_to(folder).as_posix() for file in files]
    stems = {PurePath(name).with_suffix("") for name in names}
    if lacking := [x for x in inputs.names if PurePath(x).with_suffix("") not in stems]:
        more = ", …" if len(lacking) > 3 else ""
        raise InputError(
            f"{folder} lacks translations of {len(lacking)} of {len(inputs)} pictures of {where}: "
            f"{', '.join(map(printable, lacking[:3]))}{more}; it needs files of their names"
        )
    indices, why = match_names(inputs.names, names)
    if why:
        raise InputError(f"{folder} does not fit {where}: {why}; rename or remove one")
    return Domain(names, files).take(indices)


def _translate(path: AnyPath, inputs: Path, out: Path, direction: str, count: int) -> Domain:
    """Translate the first inputs with a run or an export; what is there already is kept."""
    from ugatit_jax.inference.jobs import make_folders, plan, still_to_do
    from ugatit_jax.inference.options import Options
    from ugatit_jax.inference.record import Made, Record, checksum

    options = Options(direction)
    jobs = plan([inputs], out, options)[:count]
    make_folders(out, options)
    # Not above: folders of ready-made translations need no JAX, which takes seconds.
    from ugatit_jax.devices.runtime import set_up_jax
    from ugatit_jax.inference.files import FileTranslator
    from ugatit_jax.inference.translator import Translator

    set_up_jax()
    translator = Translator.load(path)
    translator.check(options.direction, options.fit)
    weights = checksum(translator.weights[direction])
    name = resolve(path).name
    made = Made(name, translator.step, weights, direction, options.fit, options.format)
    record = Record(out)
    try:
        todo = still_to_do(jobs, made, record)
    except InputError as error:
        reason = str(error).partition(": say another")[0]
        raise InputError(f"another study is in {out}: {reason}; say another --out") from None
    if failed := FileTranslator(translator, options, made, record)(todo):
        raise InputError(f"{len(failed)} of {len(jobs)} pictures could not be translated")
    files = [job.outputs["translation"] for job in jobs]
    return Domain([file.relative_to(out).as_posix() for file in files], files)
