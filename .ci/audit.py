"""Ask PyPI whether the installed packages have known weaknesses: `python .ci/audit.py`.

Fails if one has. Where PyPI's advisories cannot be asked, as offline or behind a mirror without
them, it says so in a line and fails nothing: it tells of the network, not of the packages.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import urllib.request

SERVICE = "https://pypi.org/pypi"
TIMEOUT = 5  # seconds without an answer
LONGEST = 300  # seconds, for all packages
PROBE = "numpy"  # a package that is there


def find_silence(service: str) -> str | None:
    """Say why a service tells no advisories; None: it does."""
    address = f"{service}/{PROBE}/{importlib.metadata.version(PROBE)}/json"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            told = json.load(answer)
    except (OSError, ValueError) as error:
        return str(error)
    return None if "vulnerabilities" in told else "it answers without advisories"


def main() -> int:
    """Print what is known, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", default=SERVICE, help="where it is asked whether PyPI answers")
    service = parser.parse_args().service
    if reason := find_silence(service):
        print(f"audit: not done, {service} cannot be asked ({reason})")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--local", "--progress-spinner=off"]
    try:
        ended = subprocess.run(
            [*command, f"--timeout={TIMEOUT}", "--format=json"],
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        packages = json.loads(ended.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print(f"audit: not done, {service} did not answer to the end")
        return 0
    weak = [package for package in packages if package.get("vulns")]
    for package in weak:
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "nothing yet"
            print(f"{package['name']} {package['version']}: {found['id']}, mended by {mended}")
    unknown = sum("skip_reason" in package for package in packages)
    print(f"audit: {len(packages) - unknown} packages asked about, {unknown} not known to PyPI")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
