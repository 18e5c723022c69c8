"""Check a folder of pictures: look, report, and write a cleaned copy if that is wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ugatit_jax.console.errors import InputError
from ugatit_jax.curation.cleaned import check_target, write_cleaned
from ugatit_jax.curation.folders import open_folder

if TYPE_CHECKING:
    from ugatit_jax.curation.findings import Finding


def check(
    root: Path, size: int = 256, out: Path | None = None, fix: Path | None = None, *, network: bool
) -> "Sequence[Finding]":
    """Look through a folder, and return what was found; also prints it.

    root: with trainA/ and so on, or any folder of pictures. size: px that are trained at. out: for
    the report; None: NAME-check in the current folder. fix: for a copy without the defects; None:
    none is made. network: take the features of a network, too. Raises `InputError` for a folder
    that cannot be read or written.
    """
    folder = open_folder(root)
    out = out or Path(f"{folder.root.resolve().name}-check")
    if out.resolve().is_relative_to(folder.root.resolve()):
        raise InputError(f"--out {out} is inside {folder.root}: give a folder outside of it")
    if fix:
        check_target(fix, folder.root)
    # Not above, where a mistake would wait for SciPy and Matplotlib.
    from ugatit_jax.curation.check_report import summary, write_report
    from ugatit_jax.curation.examination import examine
    from ugatit_jax.curation.findings import find_all, probes
    from ugatit_jax.viewing.tables import markdown

    if network:
        from ugatit_jax.devices.runtime import set_up_jax

        set_up_jax()
    seen = examine(folder, size, network)
    told = probes(seen)
    findings = find_all(seen, told)
    write_report(seen, findings, told, out)
    print(markdown(summary(seen)))
    for finding in findings:
        print(f"{'defect' if finding.is_defect else 'note'}: {finding.text}")
    print(f"report: {out / 'index.html'}")
    if fix:
        left_out = {name for finding in findings for name in finding.left_out}
        kept = write_cleaned(folder, left_out, fix)
        print(f"{fix}: {kept:,} pictures, {len(left_out):,} left out")
    return findings
