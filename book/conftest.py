"""nbval, made to look at figures and to trust nothing that was not run; what counts as equal stands in compare.py."""
import sys
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

sys.path.insert(0, str(Path(__file__).parent))
from compare import differences, picture  # noqa: E402


class Cell(IPyNbCell):
    """A code cell, compared by compare.py instead of as text."""

    def compare_outputs(self, test, ref, skip_compare=None):
        found = differences(test, ref, self.cell.metadata.get("tags", ()))
        self.comparison_traceback = list(found)
        if found:
            self.keep_pictures(test, ref)
        return not found

    def keep_pictures(self, test, ref):
        """Save both versions of the cell's figures for a person to look at."""
        folder = Path(self.config.rootpath, "_build", "nbval")
        folder.mkdir(parents=True, exist_ok=True)
        for outputs, version in ((ref, "stored"), (test, "drawn")):
            for i, png in enumerate(o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})):
                path = folder / f"{self.parent.path.stem}-cell{self.cell_num}-fig{i}-{version}.png"
                picture(png).save(path)
                self.comparison_traceback.append(f"see {path.relative_to(self.config.rootpath)}")

    def runtest(self):
        if self.cell.source.strip() and self.cell.execution_count is None:
            self.raise_cell_error("stored without having been run: refresh the notebook")
        super().runtest()


class Notebook(IPyNbFile):
    def collect(self):
        cells = list(super().collect())
        if not cells:
            raise self.CollectError(f"{self.path.name} has no code cell")
        for c in cells:
            yield Cell.from_parent(self, name=c.name, cell_num=c.cell_num, cell=c.cell, options=c.options)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    found = yield
    return [Notebook.from_parent(parent, path=file_path) if isinstance(f, IPyNbFile) else f for f in found or []]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """nbval marks the cells after a dead kernel as expected failures; here they fail."""
    report = yield
    if isinstance(item, IPyNbCell) and hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"not run: {report.wasxfail}"
        del report.wasxfail
    return report
