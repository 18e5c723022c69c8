"""Exports and runs that somebody else made or damaged: nothing is run, and one line says no."""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.runs.checkpoints import (
    describe_checkpoint,
    open_checkpoints,
    restore_judges,
    restore_weights,
)
from ugatit_jax.runs.directory import read_identity
from ugatit_jax.runs.integrity import find_damage

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
DEEP = b"[" * 100_000
JUNK = {"nothing": b"", "noise": b"\x80\x04\x95\xff", "list": b"[]", "deep": DEEP, "null": b"null"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / "export", tmp_path / "export")


def sign(export: Path) -> None:
    """Write the checksums of what lies there now: whoever makes a file makes these, too."""
    description = json.loads((export / "export.json").read_text())
    for name, file in description["files"].items():
        file["sha256"] = hashlib.sha256((export / name).read_bytes()).hexdigest()
    (export / "export.json").write_text(json.dumps(description))


def refusal(read: Callable[[Path], Any], folder: Path) -> str:
    with pytest.raises(InputError) as error:
        read(folder)
    said = str(error.value)
    assert said.isprintable() and len(said) < 900
    return said


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("name", ["export.json", "config.json", "a2b.safetensors"])
def test_files_of_an_export_that_are_none(export: Path, name: str, content: bytes) -> None:
    (export / name).write_bytes(content)
    if name != "export.json":
        sign(export)
    assert name in refusal(restore_weights, export)


def changed(export: Path, **fields: Any) -> None:
    path = export / "export.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 1e999},
        {"format": "1"},
        {"format": None},
        {"step": 1e999},
        {"step": -1},
        {"step": [1]},
        {"directions": "ab"},
        {"directions": ["../../x"]},
        {"directions": ["a2b", "a2b"]},
        {"directions": [["a2b"]]},
        {"directions": {}},
        {"directions": []},
        {"files": []},
        {"files": {"config.json": "x"}},
        {"files": {"config.json": {"sha256": None}}},
    ],
)
def test_descriptions_of_wrong_types(export: Path, fields: dict[str, Any]) -> None:
    changed(export, **fields)
    assert "export.json" in refusal(restore_weights, export)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("model", "base_width", 10**9),
        ("model", "base_width", -2),
        ("model", "residual_blocks", 10**6),
        ("model", "global_layers", 10**6),
        ("model", "skip", "everything"),
        ("data", "image_size", [0, 0]),
        ("data", "image_size", [2**40, 2**40]),
        ("data", "image_size", [16]),
    ],
)
def test_configs_of_no_networks(export: Path, section: str, field: str, value: Any) -> None:
    path = export / "config.json"
    fields = json.loads(path.read_text())
    fields[section][field] = value
    path.write_text(json.dumps(fields))
    sign(export)
    said = refusal(restore_weights, export)
    assert "config.json" in said


def safetensors(header: Any, data: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(dtype: str, shape: list[Any], *offsets: int) -> dict[str, Any]:
    return {"x\n\x1b[2J": {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({}, size=2**63),
        safetensors({}, size=10**8),
        safetensors(DEEP),
        safetensors(entry("F32", [2**40], 0, 2**42)),
        safetensors(entry("F32", [2**62, 4], 0, 16), bytes(16)),
        safetensors(entry("F32", [-1], 0, 4), bytes(4)),
        safetensors(entry("F32", [1], 4, 0), bytes(8)),
        safetensors(entry("F32", [2], 0, 4), bytes(4)),
        safetensors(entry("F8_E4M3", [4], 0, 4), bytes(4)),
        safetensors(entry("F64", [1], 0, 8), bytes(8)),
        safetensors(entry("object", [1], 0, 8), bytes(8)),
        safetensors(entry("F32", [1], 0, 4), bytes(4)),
        safetensors(entry("F32", [1], 0, 4), bytes(400)),
    ],
    ids=range(13),
)
def test_safetensors_that_lie(export: Path, content: bytes) -> None:
    (export / "a2b.safetensors").write_bytes(content)
    sign(export)
    assert "a2b.safetensors" in refusal(restore_weights, export)


def test_tensors_of_other_kinds_and_shapes(export: Path) -> None:
    path = export / "a2b.safetensors"
    tensors = load_file(path)
    name = min(tensors)
    for other, words in (
        (tensors[name].astype(np.int64), "numbers of int64"),
        (tensors[name][:0], f"{name} is (0,"),
    ):
        save_file(tensors | {name: np.ascontiguousarray(other)}, path)
        sign(export)
        assert words in refusal(restore_weights, export)


def test_a_network_that_is_damaged_is_not_even_read(export: Path) -> None:
    """Weights are translated with by this program's own networks; a StableHLO is for others."""
    expected = restore_weights(export).weights
    (export / "generator.stablehlo").write_bytes(b"\x80\x04cposix\nsystem\n")
    found = restore_weights(export).weights
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    for content in (b"", b"noise" * 99, (GOLDEN / "export/generator.stablehlo").read_bytes()[:999]):
        with pytest.raises(Exception):  # noqa: B017  JAX's own, of any kind, but no crash
            jax.export.deserialize(bytearray(content))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(GOLDEN / "run", tmp_path_factory.mktemp("strangers") / "run")


def files_of_a_checkpoint() -> list[str]:
    folder = GOLDEN / "run" / "checkpoints" / "3"
    names = [x.relative_to(folder).as_posix() for x in folder.rglob("*") if x.is_file()]
    # Of what translating reads, and of what judges are. Damaged arrays: test_integrity.py.
    return sorted(x for x in names if x.endswith("_METADATA") and not x.startswith("generators/"))


@pytest.mark.parametrize("name", files_of_a_checkpoint())
def test_checkpoints_with_odd_metadata(name: str, run: Path) -> None:
    path = run / "checkpoints" / "3" / name
    whole = path.read_bytes()
    read = restore_judges if name.startswith("training/") else restore_weights
    try:
        for content in (b"", b'{"tree_metadata": 3}', b"noise", whole[: len(whole) // 2]):
            path.write_bytes(content)
            try:
                read(run)  # what it does without
            except InputError as error:
                assert "\n" not in str(error) and len(str(error)) < 900
                assert "checkpoint" in str(error)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 2, "identity": 3},
        {"format": 2, "identity": {"config": [], "pictures": {}, "features": None, "broken": {}}},
        {"format": 2, "identity": {"config": {}, "pictures": 3, "features": None, "broken": {}}},
        {"format": 2, "identity": {"config": {}, "pictures": {}, "features": [1], "broken": {}}},
        {
            "format": 2,
            "identity": {"config": {}, "pictures": {"a": 1}, "features": None, "broken": {}},
        },
        *(
            {"format": 2, "identity": {"config": {}, "pictures": {}, "broken": {}} | odd}
            for odd in (
                {"features": {"extractor": 3, "sha256": "0"}},
                {"features": {"sha256": "0"}},
                {"features": None, "pictures": {"train_a": {"count": "3"}}},
                {"features": None, "pictures": {"train_a": {}}},
                {"features": None, "fixed": {"content": {"network": "VGG16", "sha256": 3}}},
                {"features": None, "fixed": {"content": {"network": "VGG16"}}},
            )
        ),
    ],
)
def test_identities_of_wrong_types(fields: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(fields))
    assert "run.json" in refusal(read_identity, tmp_path)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_pipes_and_devices_are_not_waited_for(
    make: Callable[[Path], object], export: Path, tmp_path: Path
) -> None:
    for name in ("a2b.safetensors", "config.json", "export.json"):
        whole = (export / name).read_bytes()
        (export / name).unlink()
        make(export / name)
        refusal(restore_weights, export)
        (export / name).unlink()
        (export / name).write_bytes(whole)
    restore_weights(export)
    run = shutil.copytree(GOLDEN / "run", tmp_path / "run")
    for name in ("3/metrics/metrics", "3/generators/_METADATA", "3/ema/manifest.ocdbt", "4"):
        file = run / "checkpoints" / name
        was = file.read_bytes() if file.exists() else None
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        make(file)
        said = refusal(restore_weights, run)
        assert said.startswith(f"{file} ") and "no regular file" in said
        with pytest.raises(InputError, match="no regular file"):
            open_checkpoints(run, load_config(run / "config.json").checkpoint).__enter__()
        file.unlink()
        if was is not None:
            file.write_bytes(was)
        elif file.parent.name == "metrics":
            file.parent.rmdir()


def test_kids_that_are_none(tmp_path: Path) -> None:
    """Orbax reads those of all checkpoints, whichever is wanted."""
    run = shutil.copytree(GOLDEN / "run", tmp_path / "run")
    file = run / "checkpoints" / "3" / "metrics" / "metrics"
    file.parent.mkdir()
    texts = ("3", "{}", '{"a2b": "x"}', '{"a2b": null}', '{"a2b": {"x": 1}}', '{"a2b": tru')
    texts += (f'{{"a2b": {10**400}}}',)
    for content in (*JUNK.values(), *map(str.encode, texts)):
        file.write_bytes(content)
        for read in (restore_weights, lambda x: restore_weights(x, "best")):
            said = refusal(read, run)
            assert said.startswith(f"{file} holds no KIDs") and f"remove {file.parent}," in said
        with pytest.raises(InputError, match="holds no KIDs"):
            open_checkpoints(run, load_config(run / "config.json").checkpoint).__enter__()
    file.write_text('{"a2b": 0.5, "b2a": 1}')
    assert describe_checkpoint(run, 3)["best_step"] == 3
    shutil.rmtree(file.parent)
    assert describe_checkpoint(run, 3)["best_step"] is None


def test_checksums_name_nothing_outside_a_checkpoint(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "3").mkdir(parents=True)
    (checkpoints / "3" / "here").write_bytes(b"1")
    (checkpoints / "3" / "zero").symlink_to("/dev/zero")
    os.mkfifo(checkpoints / "3" / "pipe")
    (tmp_path / "checksums").mkdir()
    kept = tmp_path / "checksums" / "3.json"
    was = {"bytes": 1, "crc32": 0}
    for name in (
        "pipe",
        "zero",
        "../../checksums/3.json",
        "/dev/zero",
        "/etc/passwd",
        ".",
        "\x1b[2J\n",
    ):
        kept.write_text(json.dumps({name: was}))
        damage = find_damage(checkpoints, 3)
        assert damage is not None and damage.endswith("is missing") and damage.isprintable()
    kept.write_text(json.dumps({"here": was}))
    assert str(find_damage(checkpoints, 3)).endswith("its checksum differs")
    for content in (b"[]", b'{"here": 3}', b'{"here": {"bytes": 1e999, "crc32": 1}}', DEEP):
        kept.write_bytes(content)
        assert find_damage(checkpoints, 3) is None
