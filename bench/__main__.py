"""The command line: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import environment, first_call, memory, report
from bench.run import DisagreementError, measure
from bench.variants import PEERS, Variant, missing, versions
from bench.workload import all_workloads

# What `bench.alone` can have measured in a process of its own.
ALONE = {"first_call": first_call.measure_here, "memory": memory.measure_here}
_PAGE = Path("docs/explanation/performance.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's.

    Returns
    -------
    int
        Status of the process: 1 if results of a workload differ.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    workloads = all_workloads()
    if options.list:
        print("\n".join(f"{w.name:20}{w.title}" for w in workloads.values()))
        return 0
    if options.alone:
        what, name, variant = options.alone
        peer, _, style = variant.partition(":")
        print(json.dumps(ALONE[what](workloads[name], Variant(peer, style), options.tiny)))
        return 0
    if options.report:
        store = report.load(options.report)
        print(report.summary(store))
        report.write_page(store, options.page or _PAGE)
        return 0
    names = options.only or list(workloads)
    unknown = sorted({*names} - {*workloads}) + sorted({*options.peers} - {*PEERS})
    if unknown:
        print(f"unknown: {', '.join(unknown)}; see --list and --help", file=sys.stderr)
        return 2
    environment.restart_with(options.threads, given)
    return _measure_all(options, names)


def _measure_all(options: argparse.Namespace, names: list[str]) -> int:
    absent = missing(options.peers)
    for peer, needed in absent.items():
        print(f"{peer} is left out: {needed} is not installed.")
    peers = [peer for peer in options.peers if peer not in absent]
    store = report.load(options.json)
    store["machine"] = environment.describe_machine()
    store["versions"] |= versions(peers)
    status = 0
    workloads = all_workloads()
    for name in names:
        try:
            result = measure(
                workloads[name],
                peers,
                options.rounds,
                options.turn,
                options.alone_too,
                options.tiny,
            )
        except DisagreementError as error:
            print(f"{error}\n", flush=True)
            status = 1
            continue
        report.add(store, f"{name}@{options.threads}", result)
        print(report.text(name, result, options.threads) + "\n", flush=True)
        report.save(store, options.json)
    if store["results"]:
        print(report.summary(store))
        if options.page is not None:
            report.write_page(store, options.page)
    return status


def _parser() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        return [name for name in text.split(",") if name]

    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure jitgrad against other libraries."
    )
    parser.add_argument("--list", action="store_true", help="say what can be measured")
    parser.add_argument("--only", type=names, help="names of workloads, separated by commas")
    parser.add_argument("--peers", type=names, default=list(PEERS), help=",".join(PEERS))
    parser.add_argument("--threads", type=int, default=1, help="of every peer alike")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each variant")
    parser.add_argument("--turn", type=float, default=0.02, help="seconds a turn lasts")
    parser.add_argument(
        "--quick", dest="alone_too", action="store_false", help="neither first calls nor memory"
    )
    parser.add_argument("--tiny", action="store_true", help="the tests' sizes")
    parser.add_argument(
        "--json", type=Path, help="keep figures here, beside those of other workloads"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="JSON",
        help=f"measure nothing, and renew the page (by default {_PAGE}) from what is kept here",
    )
    parser.add_argument(
        "--page", type=Path, help="whose plot and tables to renew from all that is kept"
    )
    parser.add_argument("--alone", nargs=3, metavar="NAME", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
