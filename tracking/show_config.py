"""Print an experiment with every value resolved, or write the JSON schema that editors check experiment files with:
python tracking/show_config.py --config grm_vitb [section.key=value ...] | --write-schema experiments/schema.json"""

from __future__ import annotations

import argparse
import json
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.config.yaml12 import to_yaml
    from lib.experiment.config import experiment_schema, load_config, to_tree
    from lib.runtime.escapes import show


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--config", help="name in experiments/ or path of a YAML file")
    task.add_argument("--write-schema", type=user_path, metavar="FILE", help="write the schema there")
    parser.add_argument("--dataset", help="benchmark whose test-time values to put in their places")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if arguments.write_schema and (arguments.dataset or arguments.overrides):
        parser.error("--write-schema takes nothing beside it: the schema is the same for every experiment")
    return arguments


@program()
def main() -> int:
    """0, or 1 if the configuration is wrong or the file cannot be written."""
    arguments = parse_arguments()
    if arguments.write_schema:
        arguments.write_schema.write_text(json.dumps(experiment_schema(), indent=1) + "\n", encoding="utf-8")
    else:
        experiment = load_config(arguments.config, arguments.overrides)
        if arguments.dataset:
            experiment = experiment.for_benchmark(arguments.dataset)
        show(to_yaml(to_tree(experiment)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
