"""Runs on a board until its power is cut: sets parameters, prints each pair of values as it is sent and confirmed."""

from __future__ import annotations

import itertools

from flight.client import Commander


def main() -> None:
    """Set two parameters together, again and again; each pair is a number and what follows from it."""
    with Commander("tcp://127.0.0.1:5604", 60.0, None) as commander:
        for number in itertools.count(1):
            passes, gamma = 1 + number % 100, 1.0 + (number % 90) / 10
            print(f"sent {passes} {gamma:.1f}", flush=True)
            commander.send("set_parameters", values={"passes": passes, "gamma": round(gamma, 1)})
            print(f"confirmed {passes} {gamma:.1f}", flush=True)


main()
