"""The pages in docs/ are one site: each has its place, links lead somewhere, Sphinx is content."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import bench

FENCE = re.compile(r"^```.*?^```$", re.S | re.M)
LINK = re.compile(r"\]\((?!https?:)(?P<file>[^)#\s]*)(?:#(?P<place>[^)\s]+))?\)")
READER = re.compile(
    r"^## (?P<reader>[^\n]+)$(?P<listed>.*?)```\{toctree\}(?P<tree>.*?)^```$", re.S | re.M
)
MODULES = ("sphinx", "myst_parser", "furo")


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The places of a page, named as GitHub and MyST name them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.M)
    bare = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in bare}


def leads(page: Path, file: str, place: str | None) -> bool:
    """Whether a file, and a heading in it where one is named, exist."""
    target = page.parent / file if file else page
    return target.exists() and (
        place is None or place in anchors(target.read_text(encoding="utf-8"))
    )


def broken(page: Path) -> list[str]:
    """Links of a page to files, or to headings in them, that do not exist."""
    links = LINK.finditer(prose(page.read_text(encoding="utf-8")))
    return [link[0] for link in links if not leads(page, link["file"], link["place"])]


def test_links_between_pages_lead_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *root.glob("docs/*.md")]
    assert not {page.name: found for page in pages if (found := broken(page))}


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    (tmp_path / "b.md").write_text("# `bench b`: one, two\n")
    page.write_text("[x](b.md) [x](c.md) [x](b.md#bench-b-one-two) [x](#no)\n```\n[x](d.md)\n```\n")
    assert broken(page) == ["](c.md)", "](#no)"]


def test_the_index_lists_every_page_once_and_in_the_order_of_the_site(root: Path) -> None:
    text = (root / "docs" / "index.md").read_text(encoding="utf-8")
    readers = list(READER.finditer(text))
    assert len(readers) >= 5
    for reader in readers:
        listed = re.findall(r"^- .*\]\((.+)\.md\)", reader["listed"], re.M)
        tree = [line for line in reader["tree"].split() if re.fullmatch(r"[a-z-]+", line)]
        assert [name for name in tree if (root / "docs" / f"{name}.md").exists()] == listed
        assert f":caption: {reader['reader']}\n" in reader["tree"]
    pages = sorted(page.stem for page in root.glob("docs/*.md"))
    named = re.findall(r"^- .*\]\((.+)\.md\)", text, re.M)
    assert sorted(["index", *named]) == pages


def test_the_api_page_holds_every_public_name(root: Path) -> None:
    text = (root / "docs" / "python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\.\. auto(?:class|function|exception):: bench\.(\w+)$", text, re.M))
    assert shown == {name for name in bench.__all__ if name != "__version__"}


@pytest.mark.skipif(
    not all(map(find_spec, MODULES)), reason="the site needs pip install 'joulemark[docs]'"
)
def test_the_site_builds_without_a_warning(root: Path, tmp_path: Path) -> None:
    build = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *build], cwd=root, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    built = {page.stem for page in tmp_path.glob("*.html")}
    assert {page.stem for page in root.glob("docs/*.md")} <= built
    assert "bench.Meter" in (tmp_path / "python.html").read_text(encoding="utf-8")
