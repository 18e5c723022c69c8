"""The notebook of the documentation, run from the first cell to the last, with a tiny training."""

import os
import sys
from pathlib import Path

import pytest
from readme import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
TINY = """
import os

os.environ["STEPS"] = "2"
os.environ["PICTURES"] = "4"
os.environ["FIELDS"] = " ".join([
    "--config.data.image_size=(32,32)", "--config.model.base_width=4",
    "--config.model.local_layers=3", "--config.model.global_layers=4",
    "--config.eval.every=0", "--config.samples.every=2", "--config.samples.count=2",
])
"""


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.thorough  # what its cells do is tested where it lives
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Path(sys.executable).parent  # of this environment, activated or not
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (settings,) = [x for x in notebook.cells if "parameters" in x.metadata.get("tags", [])]
    settings.source = TINY
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises what a cell raises
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [x for x in shown if "image/png" in x.get("data", {})]
    assert len(pictures) == 6  # two folders, a grid, the input and two translations of it
    assert any("KID" in x.get("text", "") for x in shown)
    assert [*(tmp_path / "runs" / "notebook" / "samples").glob("*.png")]
