# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook that make hooks installs: what git refuses to commit, and that it looks at the index."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TAG = "/* SPDX-License-Identifier: GPL-3.0-or-later */\n"
GOOD = TAG + "int clv_good(void);\n"
FAULTS = {
    "no licence tag": "int clv_bad(void);\n",
    "an include that goes up": TAG + '#include "control/core/above.h"\n',
    "another layout": TAG + "int  clv_bad( void );\n",
    "a file too long": TAG + "int x;\n" * 700,
}


@pytest.fixture
def commit(tmp_path):
    """commit({file: text}) in a repository with the hook; returns whether git took it."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("GIT_", "MAKE", "MFLAGS"))}
    environment.update(HOME=str(tmp_path), GIT_CONFIG_NOSYSTEM="1")

    def run(*words):
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True,
                              check=False)

    def commit(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        assert run("git", "add", *files).returncode == 0
        return run("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "x")

    for name in ("Makefile", ".clang-format", "tests/lint"):
        copy = shutil.copytree if (TOP / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(TOP / name, tmp_path / name)
    assert run("git", "init", "-q").returncode == 0
    assert commit({"control/core/above.h": GOOD, "Makefile": (TOP / "Makefile").read_text(),
                   ".clang-format": (TOP / ".clang-format").read_text()}).returncode == 0
    assert run("git", "add", "tests").returncode == 0
    done = run("make", "hooks")
    assert done.returncode == 0, done.stderr
    commit.run = run
    return commit


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_not_committed(commit, fault):
    done = commit({"control/http/new.h": FAULTS[fault]})
    assert done.returncode != 0 and "control/http/new.h" in done.stderr, done.stderr


def test_what_is_good_is_committed_whatever_the_working_tree_has(commit, tmp_path):
    done = commit({"control/http/new.h": GOOD})
    assert done.returncode == 0, done.stderr
    (tmp_path / "control/http/untracked.h").write_text(FAULTS["another layout"])
    (tmp_path / "control/http/new.h").write_text(FAULTS["no licence tag"])
    done = commit({"control/http/other.h": GOOD})
    assert done.returncode == 0, done.stderr


def test_a_hook_of_somebody_else_is_kept(commit, tmp_path):
    hook = tmp_path / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 0\n")
    done = commit.run("make", "hooks")
    assert done.returncode != 0 and "there is another hook" in done.stderr
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
