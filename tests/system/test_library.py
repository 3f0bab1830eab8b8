# SPDX-License-Identifier: GPL-3.0-or-later
"""libculvert as an application meets it: installed, found by pkg-config, linked outside of the tree."""
import os
import re
import shlex
import subprocess

import pytest

from lab import REPOSITORY

HEADER = REPOSITORY / "control/library/culvert.h"
DATAPATHS = ("xdp", "sock")

# Names that the pinned libraries and our own code have too: the application's must not clash.
NEIGHBOUR = """
int wolfSSL_Init(void);
int wolfSSL_Init(void) { return 77; }
const char *clv_strerror(int error);
const char *clv_strerror(int error) { (void)error; return "the application's own"; }
int ngtcp2_conn_get_tls_alert(void *conn);
int ngtcp2_conn_get_tls_alert(void *conn) { (void)conn; return 78; }
"""


def make(build, *words):
    """make with the variables that these tests were started with, so that nothing is built anew;
    always without sanitizers."""
    plain = build.parent if build.name in ("asan", "tsan") else build
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("BUILD", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SANITIZE")}
    given = shlex.split(os.environ.get("MAKEFLAGS", "").partition(" -- ")[2])
    variables = [word for word in given if not word.startswith(("ONLY=", "BUILD=", "SANITIZE="))]
    if plain != REPOSITORY / "build":
        variables.append(f"BUILD={plain}")
    return subprocess.run(["make", "-s", "-C", REPOSITORY, *variables, *words], env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    """Where `make install` put a package of it."""
    folder = tmp_path_factory.mktemp("installed")
    done = make(build, "install", f"DESTDIR={folder}", "PREFIX=/usr")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def compile_with(installed, tmp_path_factory):
    """compile_with("cc", "-std=c99", sources...) links an application; returns its path."""
    environment = dict(os.environ, PKG_CONFIG_PATH=str(installed / "usr/lib/pkgconfig"),
                       PKG_CONFIG_SYSROOT_DIR=str(installed))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "culvert"], env=environment,
                           capture_output=True, text=True, check=True).stdout.split()

    def link(*words):
        program = tmp_path_factory.mktemp("application") / "program"
        done = subprocess.run([*map(str, words), *flags, "-o", program], cwd=program.parent,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return program

    return link


def test_what_the_service_file_points_to_is_installed(installed):
    unit = (installed / "usr/lib/systemd/system/culvertd.service").read_text()
    paths = re.findall(r"^(?:Documentation=file:|Exec(?:Start|StartPre)=)(\S+)", unit, re.M)
    assert len(paths) == 3 and all((installed / path.lstrip("/")).is_file() for path in paths)


def example(installed):
    return installed / "usr/share/doc/culvert/echo.c"


@pytest.fixture(scope="module")
def echo(installed, compile_with):
    return compile_with("cc", "-Wall", "-Wextra", "-Werror", example(installed))


@pytest.mark.parametrize("peer, target", [("peer-v4", "target-v6"), ("peer-v6", "target-v4")])
def test_the_example_moves_datagrams_through_a_relay(lab, relay, targets, echo, peer, target):
    at = relay.address(4 if lab[peer].addr4 else 6)
    done = lab[peer].run([echo, at, relay.fingerprint, targets[target], 200])
    assert done.stdout.split("\n") == [f"datagram {i}" for i in range(1, 201)] + [""]
    assert done.stderr == ""


def test_the_example_reports_why_it_failed(lab, relay, targets, echo):
    for words, said in [
            ((relay.address(4), "sha256:" + 64 * "0", targets["target-v6"]), "not trusted"),
            ((relay.address(4), relay.fingerprint, "127.0.0.1:7"), "status 502 loopback"),
            ((relay.address(4), relay.fingerprint, "target-v6"), "target is not HOST:PORT"),
            ((relay.address(4), "sha256:12", targets["target-v6"]), "pin is not sha256:HEX"),
            (("nobody.example:443", relay.fingerprint, targets["target-v6"]), "no such relay"),
    ]:
        done = lab["peer-v4"].run([echo, *words, 1], check=False)
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_an_application_may_define_the_librarys_internal_names(
        lab, relay, targets, installed, compile_with, tmp_path):
    (tmp_path / "neighbour.c").write_text(NEIGHBOUR)
    program = compile_with("cc", example(installed), tmp_path / "neighbour.c")
    done = lab["peer-v4"].run([program, relay.address(4), relay.fingerprint, targets["target-v6"]])
    assert done.stdout.endswith("datagram 10\n")


def test_the_library_exports_the_names_of_its_header_and_no_other(installed):
    names = subprocess.run(["nm", "--defined-only", "--extern-only", "--format=just-symbols",
                            installed / "usr/lib/libculvert.a"],
                           capture_output=True, text=True, check=True).stdout.split()
    shown = {name for name in names if not name.endswith(":")}
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    declared = set(re.findall(r"\b(culvert_\w+)\(", text))
    assert shown == declared and len(shown) > 10


def test_the_header_is_c99_and_cplusplus(installed, compile_with, tmp_path):
    for compiler, suffix, standard in (("cc", "c", "c99"), ("c++", "cc", "c++11")):
        source = tmp_path / f"program.{suffix}"
        source.write_text("#include <culvert.h>\n"
                          "int main() { return culvert_version()[0] == '\\0'; }\n")
        program = compile_with(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror",
                               "-pedantic", source)
        assert subprocess.run([program], check=False).returncode == 0


def test_the_manual_page_shows_the_program_that_was_tested(installed):
    page = (installed / "usr/share/man/man3/culvert.3").read_text()
    assert "culvert_tunnel_send(t, text, (size_t)len)" in page
    assert "@include" not in page and page.count("SPDX") == 1
