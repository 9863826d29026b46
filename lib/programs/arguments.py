"""The command line of the programs: the arguments that they share, as keyword arguments of their bodies."""

import argparse
from collections.abc import Callable
from typing import Any

from lib.config.paths import load_paths, user_path


class Parser(argparse.ArgumentParser):
    """A parser with a method for each argument that several programs have."""

    def __init__(self, description: str | None, prog: str | None = None) -> None:
        super().__init__(
            prog, description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def config(self, required: bool = False) -> None:
        """Add ``--config``."""
        other = "" if required else "; without it, the checkpoint's own configuration"
        self.add_argument("--config", required=required, help=f"name in experiments/ or path of a YAML file{other}")

    def checkpoint(self) -> None:
        """Add ``--checkpoint``."""
        self.add_argument(
            "--checkpoint",
            type=user_path,
            help="weights, of a run or as their authors released them; without it, the run's last.pth, else the "
            "weights that the experiment names",
        )

    def device(self) -> None:
        """Add ``--device``."""
        self.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")

    def paths(self) -> None:
        """Add ``--paths``, which ``parse`` loads."""
        self.add_argument("--paths", type=user_path, metavar="FILE", help="file instead of paths.yaml")

    def overrides(self) -> None:
        """Add the overrides, any number of words."""
        self.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")

    def parse(self) -> dict[str, Any]:
        """The arguments of the command line by name; overrides may be before, between and after options."""
        arguments = vars(self.parse_intermixed_args())
        if "paths" in arguments:
            arguments["paths"] = load_paths(arguments["paths"])
        return arguments


def at_least(bound: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """The type of an argument that is a number not below ``bound``."""

    def number(text: str) -> float:
        if not kind(text) >= bound:
            raise argparse.ArgumentTypeError(f"must be {bound} or more, not {text}")
        return kind(text)

    return number
