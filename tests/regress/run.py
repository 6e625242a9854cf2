#!/usr/bin/python3
"""
PostgreSQL's regression suite as a yardstick: its files one after another directly on a fresh server, through pgusher
in transaction mode with a pool of four, and with four noisy neighbours in that pool. A file passes when psql shows what
it shows directly: on a server as it is, or played a second time on one where PL/pgSQL is loaded beforehand, as it is
where somebody ran a function before. The suite comes from Debian's source package (needs postgresql-server-dev-15, gcc).
    run.py [--bin build/src/pgusher] [--runs alone,noisy] [--files a,b,c] [--upto c] [--outputs DIR]
"""

import argparse
import difflib
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from harness.process import free_port, work_folder  # noqa: E402
from regress import source  # noqa: E402
from regress.stage import Stage  # noqa: E402

RUNS = {"alone": 0, "noisy": 4}  # neighbours
DIRECTLY = {"direct": "", "used": "shared_preload_libraries = 'plpgsql'"}
POOL = 4


def first_hunk(direct, through, lines=30):
    """Where they first differ, as a unified diff."""
    parts = difflib.unified_diff(direct.decode("utf-8", "replace").splitlines(), through.decode("utf-8", "replace").splitlines(),
                                 "directly", "through pgusher", lineterm="")
    hunk = []
    for line in parts:
        if line.startswith("@@") and any(l.startswith("@@") for l in hunk):
            break
        hunk.append(line)
    return "\n".join(hunk[:lines])


def play_all(stage, names, save=None):
    """{name: (output, seconds)}"""
    outputs = {}
    for name in names:
        outputs[name] = stage.play(name)
        if save is not None:
            (save / f"{name}.out").write_bytes(outputs[name][0])
    return outputs


def compare(names, directly, through):
    """Names of the files that look as in none of the direct runs."""
    return [n for n in names if all(direct[n][0] != through[n][0] for direct in directly)]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--bin", type=pathlib.Path)
    ap.add_argument("--runs", default="alone,noisy")
    ap.add_argument("--files", help="only these, after those they need")
    ap.add_argument("--upto", help="no file after this one")
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--keep", type=pathlib.Path, default=ROOT / "build-regress", help="where the suite is kept")
    ap.add_argument("--outputs", type=pathlib.Path, help="write all outputs there, and the servers' logs of all statements")
    args = ap.parse_args()
    if args.bin:
        os.environ["PGUSHER_BIN"] = str(args.bin.resolve())
    try:
        home = source.fetch(args.keep)
    except source.Unreachable as e:
        print(f"no suite: {e}")
        return 2
    names = source.schedule(home)
    if args.upto:
        names = names[:names.index(args.upto) + 1]
    if args.files:
        names = args.files.split(",")

    results, complaints = {}, []
    with work_folder("regress") as folder:
        suite = source.lay_out(home, folder)
        port = free_port()
        for run in [*DIRECTLY, *args.runs.split(",")]:
            save = args.outputs / run if args.outputs else None
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
            begin = time.monotonic()
            if run in DIRECTLY:
                stage = Stage(folder, suite, port, conf=DIRECTLY[run])
            else:
                stage = Stage(folder, suite, port, POOL, RUNS[run], args.workers, "all" if save else "none")
            try:
                results[run] = play_all(stage, names, save)
                complaints += stage.stop()
            finally:
                stage.kill()
                if save is not None:
                    for log in folder.glob("*.log"):
                        log.rename(save / log.name)
            print(f"{run}: {time.monotonic() - begin:.0f} s", flush=True)

    directly = [results[run] for run in DIRECTLY]
    unsteady = [n for n in names if directly[0][n][0] != directly[1][n][0]]
    failed = {run: compare(names, directly, results[run]) for run in results if run not in DIRECTLY}
    for run, bad in failed.items():
        for name in bad:
            print(f"\n=== {run}: {name}\n{first_hunk(results['direct'][name][0], results[run][name][0])}")
    for c in complaints:
        print(c)
    print(f"\nnot twice the same directly: {' '.join(unsteady) or 'none'}")
    print(f"{'run':<8} {'files':>5} {'equal':>5}  different")
    for run, bad in failed.items():
        print(f"{run:<8} {len(names):>5} {len(names) - len(bad):>5}  {' '.join(bad)}")
    return 1 if complaints or any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
