"""What the documents cite as shown by a test is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
CITED = re.compile(r"`(?:tests/)?((?:\w+/)?test_\w+\.py)(?:::(\w+))?`((?:, `::\w+`)*)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_cited_tests_exist(page: Path) -> None:
    missing = []
    for file, first, others in CITED.findall(page.read_text(encoding="utf-8")):
        found = [TESTS / file] if "/" in file else list(TESTS.rglob(file))
        code = "".join(path.read_text(encoding="utf-8") for path in found if path.exists())
        names = [name for name in [first, *re.findall(r"::(\w+)", others)] if name]
        missing += [file] if not code else [name for name in names if f"def {name}(" not in code]
    assert not missing
