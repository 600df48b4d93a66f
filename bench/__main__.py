"""The command line: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import environment, report
from bench.first_call import measure_here
from bench.run import DisagreementError, measure
from bench.variants import PEERS, Variant, missing, versions
from bench.workload import all_workloads


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
        print("\n".join(f"{w.name:18}{w.title}" for w in workloads.values()))
        return 0
    if options.first_call:
        name, variant = options.first_call
        peer, _, style = variant.partition(":")
        print(json.dumps(measure_here(workloads[name], Variant(peer, style), options.tiny)))
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
                options.first_calls,
                options.tiny,
                options.tolerance,
            )
        except DisagreementError as error:
            print(f"{error}\n", flush=True)
            status = 1
            continue
        report.add(store, f"{name}@{options.threads}", result)
        print(report.text(name, result, options.threads) + "\n", flush=True)
        report.save(store, options.json)
    if options.markdown is not None and store["results"]:
        report.write_tables(store, options.markdown)
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
        "--no-first-calls", dest="first_calls", action="store_false", help="spare the processes"
    )
    parser.add_argument(
        "--tolerance", type=float, help="by how much results may differ; the tables show it"
    )
    parser.add_argument("--tiny", action="store_true", help="the tests' sizes")
    parser.add_argument(
        "--json", type=Path, help="keep figures here, beside those of other workloads"
    )
    parser.add_argument(
        "--markdown", type=Path, help="a page whose tables to renew from all that is kept"
    )
    parser.add_argument("--first-call", nargs=2, metavar="NAME", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
