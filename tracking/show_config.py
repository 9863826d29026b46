"""Print an experiment with every value resolved, or write the JSON schema that editors check experiment files with:
python tracking/show_config.py --config grm_vitb [section.key=value ...] | --write-schema experiments/schema.json"""

import json
import sys

from lib.runtime.program import TextResult, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.config.yaml12 import to_yaml
    from lib.experiment.config import experiment_schema, load_experiment, to_tree
    from lib.programs.arguments import Parser


@program()
def main() -> TextResult:
    """0, or 1 if the configuration is wrong or the file cannot be written."""
    parser = Parser(__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--config", help="name in experiments/ or path of a YAML file")
    task.add_argument("--write-schema", type=user_path, metavar="FILE", help="write the schema there")
    parser.add_argument("--dataset", help="benchmark whose test-time values to put in their places")
    parser.overrides()
    arguments = parser.parse_intermixed_args()
    if arguments.write_schema:
        if arguments.dataset or arguments.overrides:
            parser.error("--write-schema takes no other argument: the schema is the same for every experiment")
        arguments.write_schema.write_text(json.dumps(experiment_schema(), indent=1) + "\n", encoding="utf-8")
        return TextResult()
    experiment = load_experiment(arguments.config, arguments.overrides)
    if arguments.dataset:
        experiment = experiment.for_benchmark(arguments.dataset)
    return TextResult(to_yaml(to_tree(experiment)).rstrip("\n"))


if __name__ == "__main__":
    sys.exit(main())
