"""Downloads from real servers that break off, refuse, lie, or come back."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from mirrors import Mirror, serving

from ugatit_jax.console.errors import InputError, TransientError
from ugatit_jax.curation import download as downloads
from ugatit_jax.curation.catalogue import SETS, Archive
from ugatit_jax.curation.download import download

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(downloads, "PAUSES", (0.01, 0.01, 0.01))
    with serving() as mirror:
        mirror.files = {"a.zip": DATA, "b.zip": DATA}
        yield mirror


def archive(mirror: Mirror, *names: str, known: bool = True) -> Archive:
    urls = tuple(mirror.url(name) for name in names)
    return Archive("set.zip", urls, *((len(DATA), SHA256) if known else ()))


def test_a_file_is_downloaded_once(mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(2):
        path = download(archive(mirror, "a.zip", "b.zip"), tmp_path / "cache")
        assert path == tmp_path / "cache" / "set.zip" and path.read_bytes() == DATA
    assert mirror.asked == [("a.zip", None)]
    assert [x.name for x in path.parent.iterdir()] == ["set.zip"]


def test_goes_on_where_the_connection_broke_off(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["a.zip"] = ["break 98304", "break 49152"]
    assert download(archive(mirror, "a.zip"), tmp_path).read_bytes() == DATA
    ranges = [asked for _, asked in mirror.asked]
    assert ranges == [None, "bytes=98304-", "bytes=147456-"]


def test_goes_on_the_next_time_the_command_is_given(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["a.zip"] = ["break 98304", 503, 503, 503]
    with pytest.raises(TransientError, match=r"503, 4 times.*goes on where it stopped"):
        download(archive(mirror, "a.zip"), tmp_path)
    assert download(archive(mirror, "a.zip"), tmp_path).read_bytes() == DATA
    assert mirror.asked[-1] == ("a.zip", "bytes=98304-")


@pytest.mark.parametrize("how", ["no ranges", "changed", "no etag"])
def test_begins_again_where_the_rest_may_be_of_another_file(
    mirror: Mirror, tmp_path: Path, how: str
) -> None:
    mirror.answers["a.zip"] = ["break 100000"] + [503] * 3
    mirror.ranges, mirror.etag = how != "no ranges", 'W/"1"' if how == "no etag" else '"1"'
    with pytest.raises(TransientError):
        download(archive(mirror, "a.zip", known=False), tmp_path)
    mirror.files["a.zip"] = newer = DATA if how == "no ranges" else DATA[::-1]
    mirror.etag = '"2"' if how == "changed" else mirror.etag
    assert download(archive(mirror, "a.zip", known=False), tmp_path).read_bytes() == newer


def test_503_is_asked_again_and_404_is_not(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers = {"a.zip": [404, 404], "b.zip": [503, 429]}
    assert download(archive(mirror, "a.zip", "b.zip"), tmp_path).read_bytes() == DATA
    assert [name for name, _ in mirror.asked] == ["a.zip", "b.zip", "b.zip", "b.zip"]


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA[::-1]])
def test_another_file_is_not_taken(mirror: Mirror, tmp_path: Path, wrong: bytes) -> None:
    mirror.files["a.zip"] = wrong
    assert download(archive(mirror, "a.zip", "b.zip"), tmp_path).read_bytes() == DATA
    (tmp_path / "set.zip").unlink()
    with pytest.raises(InputError) as caught:
        download(archive(mirror, "a.zip"), tmp_path)
    assert not isinstance(caught.value, TransientError)
    assert ("bytes, not 300,000" if len(wrong) < len(DATA) else "its SHA-256 is not") in str(
        caught.value
    )
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_no_archive(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["a.zip"] = ["page"]
    with pytest.raises(InputError, match=r"a\.zip: it is a page, not a file.*--from=FILE"):
        download(archive(mirror, "a.zip", known=False), tmp_path)


def test_a_damaged_file_of_before_is_told(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(DATA[::-1])
    with pytest.raises(InputError, match="its SHA-256 is not"):
        download(archive(mirror, "a.zip"), tmp_path)
    assert mirror.asked == []


def test_where_nobody_answers_it_ends(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"no connection \(ConnectionError\), 4 times"):
        download(Archive("set.zip", ("http://127.0.0.1:9/set.zip",)), tmp_path)


def test_attempts_are_counted_anew_after_progress(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_PROGRESS", 20_000)
    mirror.answers["a.zip"] = ["break 32768"] * 8
    before = threading.active_count()
    assert download(archive(mirror, "a.zip"), tmp_path).read_bytes() == DATA
    assert threading.active_count() < before + 8  # of an attempt none stays


def test_addresses_have_the_form_of_addresses() -> None:
    """What is behind them is not asked here."""
    for known in SETS.values():
        for url in known.archive.urls:
            parts = urlsplit(url)
            assert parts.scheme in ("http", "https") and "." in parts.netloc and parts.path
        digest = known.archive.sha256
        assert (digest is None) == (known.archive.size is None)
        assert digest is None or (len(digest) == 64 and int(digest, 16))


def test_checksums_are_those_of_tensorflow_datasets() -> None:
    import importlib.util

    spec = importlib.util.find_spec("tensorflow_datasets")
    assert spec is not None and spec.origin
    listed = Path(spec.origin).parent / "url_checksums" / "cycle_gan.txt"
    known = {}
    for line in listed.read_text().splitlines():
        url, size, digest, _ = line.split("\t")
        known[url] = (int(size), digest)
    for name in ("horse2zebra", "photo2vangogh"):
        archive = SETS[name].archive
        assert (archive.size, archive.sha256) == known[archive.urls[0]]
