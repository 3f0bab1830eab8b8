# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents point to exists: links, files, folders and make targets."""
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ("bpf", "control", "datapath", "tools", "tests", "bench", "deploy")
DOCUMENTS = sorted(path.relative_to(TOP) for pattern in ("*.md", "deploy/**/*.md", "bench/**/*.md")
                   for path in TOP.glob(pattern))
PRESENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]   # not about what was
FILES = {path.name for folder in FOLDERS for path in (TOP / folder).rglob("*")}

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`|^    (.*)$", re.MULTILINE)
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*/]")
FILE = re.compile(r"[\w-]+(?:\.bpf)?\.(?:c|h|py|sh|list|conf|scd)")
TARGET = re.compile(r"\bmake ([a-z][\w.-]*(?: [a-z][\w.-]*)*)")
PLACEHOLDER = re.compile(r"[A-Z]{3}")


def anchor(heading):
    """The anchor that a heading gets in rendered Markdown."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


of_each = pytest.mark.parametrize("document", DOCUMENTS, ids=str)
of_each_present = pytest.mark.parametrize("document", PRESENT, ids=str)


def text_of(document):
    return (TOP / document).read_text(encoding="utf-8")


def code_of(document):
    return [inline or block for inline, block in CODE.findall(text_of(document))]


def test_there_are_documents():
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "bench/README.md",
            "deploy/doc/architecture.md", "deploy/doc/glossary.md"} <= set(map(str, DOCUMENTS))


@of_each
def test_links_lead_somewhere(document):
    for target, heading in LINK.findall(text_of(document)):
        if "://" in target:
            continue
        path = (TOP / document).parent / target if target else TOP / document
        assert path.exists(), f"{document}: no {target}"
        if heading:
            headings = map(anchor, HEADING.findall(path.read_text(encoding="utf-8")))
            assert heading in headings, f"{document}: no #{heading} in {target or document}"


@of_each_present
def test_named_paths_exist(document):
    for path in PATH.findall(text_of(document)):
        if not PLACEHOLDER.search(path):
            assert any(TOP.glob(path.rstrip("/"))), f"{document}: no {path}"


@of_each_present
def test_named_files_exist(document):
    for code in code_of(document):
        if FILE.fullmatch(code):
            assert code in FILES, f"{document}: no file is called {code}"


def test_each_row_about_a_folder_names_files_in_it():
    rows = re.findall(r"^\| `((?:control|datapath)/\w+)` \|.*\| ([^|]*) \|$",
                      text_of("deploy/doc/architecture.md"), re.MULTILINE)
    assert {folder for folder, _ in rows} == {
        str(path.relative_to(TOP)) for name in ("control", "datapath")
        for path in (TOP / name).iterdir() if path.is_dir()}
    for folder, files in rows:
        for name in re.findall(r"`([^`]+)`", files):
            assert (TOP / folder / name).exists(), f"no {folder}/{name}"


@of_each_present
def test_named_targets_are_in_the_makefile(document):
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    for code in code_of(document):
        for targets in TARGET.findall(code.partition("#")[0]):
            for target in targets.split():
                assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), \
                    f"{document}: no target {target}"
