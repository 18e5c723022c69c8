"""What a run is, as one value: compared across processes, and with what the run was before."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from ml_collections import ConfigDict

from ugatit_jax.config.records import flatten


@dataclass(frozen=True)
class Identity:
    """What a run is.

    config: its fields, {'section.name': value}. pictures: {split: what `Domain.fingerprint` says}.
    features: what its KIDs look at, {'extractor', 'sha256'}; None: nothing. broken: the pictures
    that were left out, as `datasets.find_broken` told them. fixed: the trained networks that its
    losses look at, as `Method.describe_fixed` tells.
    """

    config: dict[str, Any]
    pictures: dict[str, dict[str, Any]]
    features: dict[str, Any] | None
    broken: dict[str, dict[str, str]]
    fixed: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        pictures: dict[str, dict[str, Any]],
        features: dict[str, Any] | None,
        broken: dict[str, dict[str, str]],
        fixed: dict[str, dict[str, str]],
    ) -> Self:
        """Return the identity of a training with a config."""
        return cls(_fields(config), pictures, features, broken, fixed)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """Return what `to_json` kept.

        Raises `KeyError` or `TypeError` for anything whose differences could not be told.
        """
        config, pictures, features, broken = (
            kept[name] for name in ("config", "pictures", "features", "broken")
        )
        fixed = kept.get("fixed", {})
        whole = {"config": config, "features": features or {}}
        of_names = {"pictures": pictures, "broken": broken, "fixed": fixed}
        for name, value in (whole | of_names).items():
            inner = value.values() if name in of_names and isinstance(value, dict) else ()
            if not isinstance(value, dict) or not all(isinstance(x, dict) for x in inner):
                raise TypeError(f"identity: {name} is no object of what it should be")
        _check_texts("features", features or {"extractor": "", "sha256": ""}, "extractor", "sha256")
        for name, value in fixed.items():
            _check_texts(name, value, "network", "sha256")
        for name, value in pictures.items():
            if type(value["count"]) is not int:
                raise TypeError(f"identity: {name} says no number of pictures")
        return cls(config, pictures, features, broken, fixed)

    def with_defaults(self, config: ConfigDict) -> Self:
        """Return it with the fields of a config that it lacks, as one of an older program does."""
        return dataclasses.replace(self, config=_fields(config) | self.config)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return dataclasses.asdict(self)

    def differences(self, before: "Identity") -> list[str]:
        """Say in words, one for each thing, what is not what it was before."""
        said = [
            f"config.{name} is {now!r} and was {then!r}"
            for name, now, then in _changes(self.config, before.config)
        ]
        for split, now, then in _changes(self.pictures, before.pictures):
            counts = [x["count"] if x else 0 for x in (now, then)]
            what = "others" if counts[0] == counts[1] else f"{counts[0]}"
            said.append(f"the pictures of {split} are {what} and were {counts[1]}")
        if self.features != before.features:
            now, then = (
                x["extractor"] if x else "nothing" for x in (self.features, before.features)
            )
            other = "another " if now == then else ""
            said.append(f"KID looks at {other}{now} and did at {then}")
        for what, now, then in _changes(self.fixed, before.fixed):
            named = [
                f"{x['network']} (SHA-256 {x['sha256'][:8]}…)" if x else "nothing"
                for x in (now, then)
            ]
            said.append(f"{what} is told by {named[0]} and was by {named[1]}")
        return said


def _fields(config: ConfigDict) -> dict[str, Any]:
    """As JSON gives them back: lists for tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in flatten(config).items()}


def _check_texts(what: str, kept: dict[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(kept[name], str):
            raise TypeError(f"identity: {name} of {what} is no text")


def _changes(now: dict[str, Any], then: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [
        (name, now.get(name), then.get(name))
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]
