"""The audit of packages: what it says where nobody answers, and where somebody does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from processes import ROOT, free_port


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[str]:
    """In the place of PyPI: it answers whatever it is asked with this."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(request.param)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def audit(service: str, path: str = "") -> tuple[int, list[str]]:
    command = [sys.executable, ".ci/audit.py", f"--service={service}"]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


def test_offline_it_says_so_and_fails_nothing() -> None:
    status, [said] = audit(f"http://127.0.0.1:{free_port()}")
    assert status == 0 and said.startswith("audit: not done, http://127.0.0.1:")


@pytest.mark.parametrize("service", [b"{}", b"<html>log in</html>", b""], indirect=True)
def test_an_answer_that_tells_nothing_is_none(service: str) -> None:
    status, [said] = audit(service)
    assert status == 0 and said.startswith(f"audit: not done, {service} cannot be asked (")


FOUND = {"id": "PYSEC-1", "fix_versions": ["2.0", "1.9"], "aliases": [], "description": "x"}
PACKAGES = [
    {"name": "good", "version": "1", "vulns": []},
    {"name": "unknown", "skip_reason": "Dependency not found on PyPI"},
]


@pytest.mark.parametrize("service", [b'{"vulnerabilities": []}'], indirect=True)
@pytest.mark.parametrize("vulns", [[], [FOUND]], ids=["sound", "weak"])
def test_weak_packages_fail_it(
    service: str, vulns: list[dict[str, object]], tmp_path: Path
) -> None:
    """With a stand-in for pip-audit, which prints what its manual says that it prints."""
    told = {"dependencies": [*PACKAGES, {"name": "bad", "version": "1", "vulns": vulns}]}
    program = f"print({json.dumps(json.dumps(told))}); raise SystemExit({bool(vulns):d})"
    (tmp_path / "pip_audit.py").write_text(program)
    status, lines = audit(service, str(tmp_path))
    assert lines[-1] == "audit: 2 packages asked about, 1 not known to PyPI"
    assert (status, lines[:-1]) == (
        (1, ["bad 1: PYSEC-1, mended by 2.0, 1.9"]) if vulns else (0, [])
    )
