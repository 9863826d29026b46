"""Kill programs and damage files: make torture TORTURE="--seed 1", or PYTHONPATH=tests python -m torture --help"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from torture import kills, mutations  # noqa: E402 (torch reads the variable when it is imported)
from torture.table import Table  # noqa: E402


def main() -> int:
    """0, or 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other kills and other damage")
    parser.add_argument("--kills", type=int, default=20, help="of each job (default: %(default)s)")
    parser.add_argument("--mutations", type=int, default=100, help="of each class of bytes (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME", help="this job, or the files whose names begin so")
    parser.add_argument("--run", type=int, default=0, help="the first run of a job, to see a fault again")
    parser.add_argument("--at-once", type=int, default=2, help="jobs at a time (default: %(default)s)")
    arguments = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        damage, place = Table(mutations.HEADS), Path(folder, "files")
        place.mkdir()
        targets = [one for one in mutations.make_targets(place) if one.name.startswith(arguments.only or "")]
        jobs = [job for job in kills.JOBS if arguments.only in (None, job.name)]
        if not targets and not jobs:
            names = "; ".join(job.name for job in kills.JOBS)
            parser.error(f"--only {arguments.only}: fits no file and none of the jobs ({names})")
        mutations.torture(targets, arguments.seed, arguments.mutations, damage)
        print(damage.text(), flush=True)
        torture = kills.Torture(Path(folder, "runs"), kills.write_sources(Path(folder, "sources")), arguments.seed)
        with ThreadPoolExecutor(arguments.at_once) as pool:
            for done in [pool.submit(torture.run, job, arguments.kills, arguments.run) for job in jobs]:
                done.result()
        print(torture.table.text())
    faults = len(damage.faults) + len(torture.table.faults)
    print(f"seed {arguments.seed}: {damage.total('mutations')} mutations and {torture.table.total('kills')} kills "
          f"in {time.monotonic() - start:.0f} s, {faults} faults")  # fmt: skip
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
