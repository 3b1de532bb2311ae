"""``python -m docs.picture [PAGE]``: a picture of the spend report's first screen, with Chromium.

Without a page, it is that of the simulated customer that the tests load and build, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.spend_marts import build

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
PICTURE = Path(__file__).parent / "report.png"
SIZE = "820,920"


def main() -> int:
    """Draw the page that is named on the command line; return the exit code."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print("No Chromium: install it with apt-get install chromium-headless-shell")
        return 1
    if len(sys.argv) > 1:
        return draw(executable, Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        page = Path(folder) / "claude.html"
        command = [sys.executable, "-m", "claude_report", "--schema", "mixed", "--out", str(page)]
        command += ["--database", f"duckdb:///{build(Path(folder))}"]
        subprocess.run(command, check=True)
        return draw(executable, page)


def draw(executable: str, page: Path) -> int:
    """Take a screenshot; return the exit code of the browser."""
    command = [executable, "--headless", "--no-sandbox", "--hide-scrollbars"]
    command += [f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.as_uri()]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
