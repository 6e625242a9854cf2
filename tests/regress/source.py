"""
PostgreSQL's own regression suite, from Debian's source package: fetched by apt, unpacked and its C library built, once.
Nothing of it is part of this tree. Which folder it is kept in is the caller's to say.
"""

import pathlib
import shutil
import subprocess
import tempfile

from harness.postgres import BIN
from harness.process import give_away

SUITE = "src/test/regress"
TRIGGERS = ("autoinc.so", "refint.so")  # of contrib/spi, which the suite wants beside its own library


STEP_SECONDS = 120


class Unreachable(Exception):
    """The suite cannot be had here; the text says why."""


def fetch(keep):
    """The suite's folder below keep: parallel_schedule, sql, data, and lib with the libraries that the files load."""
    keep = pathlib.Path(keep)
    home = keep / f"postgresql-{BIN.parent.name}"
    if (home / "ready").exists():
        return home
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=keep) as scratch:
        new = pathlib.Path(scratch) / "suite"
        _unpack(_download(pathlib.Path(scratch)), new)
        _build(new)
        (new / "ready").touch()
        shutil.rmtree(home, ignore_errors=True)
        new.rename(home)
    return home


def _run(argv, why, **more):
    try:
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=STEP_SECONDS, check=False, **more)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Unreachable(f"{why}: {e}") from e
    if done.returncode != 0:
        raise Unreachable(f"{why}: {''.join(done.stdout.strip().splitlines()[-1:])}")
    return done.stdout


def _download(scratch):
    """The upstream tarball of the newest source package that the system's own mirrors still hold."""
    name = f"postgresql-{BIN.parent.name}"
    parts, lists, cache = scratch / "parts", scratch / "lists", scratch / "cache"
    parts.mkdir()
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    found = False
    for path in [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        if not path.is_file() or path.suffix not in (".list", ".sources"):
            continue
        found = True
        lines = path.read_text().splitlines()
        (parts / path.name).write_text("\n".join(_as_source(line) for line in lines) + "\n")
    if not found:
        raise Unreachable("apt has no sources")
    ours = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}",
            "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User=root",
            "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10"]
    _run(["apt-get", *ours, "update"], "apt cannot read the lists of source packages")
    shown = _run(["apt-cache", *ours, "showsrc", name], f"apt knows no source package {name}")
    versions = {line.split()[1] for line in shown.splitlines() if line.startswith("Version: ")}
    reason = None
    for version in sorted(versions, key=_version_key, reverse=True):
        try:
            _run(["apt-get", *ours, "source", "--download-only", f"{name}={version}"],
                 f"apt cannot fetch the source of {name} {version}", cwd=scratch)
        except Unreachable as e:
            reason = e  # a mirror may be behind its own list
            continue
        return next(scratch.glob("*.orig.tar.*"))
    raise reason or Unreachable(f"apt knows no source package {name}")


def _as_source(line):
    """A line of apt's sources, asking for source packages instead of binary ones."""
    if line.startswith("Types:"):
        return "Types: deb-src"
    return "deb-src " + line[4:] if line.startswith("deb ") else line


def _version_key(version):
    return [int(n) for n in version.split("-")[0].split(".") if n.isdigit()]


def _unpack(tarball, home):
    home.mkdir()
    _run(["tar", "-xf", tarball, "-C", home, "--no-same-owner", "--strip-components=4", "--wildcards", f"*/{SUITE}/*"],
         "the source package has no regression suite")


def _build(home):
    lib = home / "lib"
    lib.mkdir()
    headers = BIN.parent.parent.parent.parent / "include" / "postgresql" / BIN.parent.name / "server"
    if not headers.exists():
        raise Unreachable(f"postgresql-server-dev-{BIN.parent.name} is not installed")
    _run(["gcc", "-O1", "-fPIC", "-shared", "-w", "-I", headers, home / "regress.c", "-o", lib / "regress.so"],
         "the suite's library does not compile")
    for name in TRIGGERS:
        shutil.copy(BIN.parent / "lib" / name, lib)


def schedule(home):
    """The files in the order of the suite's parallel_schedule, one after another."""
    names = []
    for line in (home / "parallel_schedule").read_text().splitlines():
        if line.startswith("test:"):
            names += line.split()[1:]
    return names


def lay_out(home, folder):
    """A copy of the suite below folder that the servers' user may read, with a place for what its files write."""
    copy = folder / "suite"
    shutil.copytree(home, copy)
    (copy / "results").mkdir()
    give_away(copy / "results")
    return copy
