"""docs/tour.ipynb runs from its first cell to its last."""

from pathlib import Path

import nbclient
import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    notebook = nbformat.read(DOCS / "tour.ipynb", as_version=4)
    shorter = 0
    for cell in notebook.cells:  # a tenth of its training and of its set
        for long, short in (("samples_per_epoch=3200", "samples_per_epoch=320"), ("train=120", "train=12")):
            shorter += long in cell.source
            cell.source = cell.source.replace(long, short)
    assert shorter == 2
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(DOCS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    texts = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "mean overlap" in texts
