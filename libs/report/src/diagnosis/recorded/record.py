"""Series that verdicts are made of, out of run folders: `python record.py RUN NAME` writes NAME.json beside this file.

The runs, each `vrft run` of the default graph with these `--set`, are named in the files under "command".
"""

import json
import pathlib
import sys
import tomllib

run, name = pathlib.Path(sys.argv[1]), sys.argv[2]
KEYS = ["completions/truncated", "reward/zero_std_groups", "reward/total/mean", "policy/kl"]
KEYS += ["policy/grad_norm", "policy/entropy", "policy/loss"]
config = tomllib.loads((run / "config.toml").read_text())
terms = list(config["reward"]["terms"])
learner = "learner"
wanted = {*KEYS, *(f"reward/{term}/mean" for term in terms)}
nodes = {learner, "advantage", "rollout", "reward"}
series: dict[str, dict[int, float]] = {}
for line in (run / "metrics.jsonl").read_text().splitlines():
    record = json.loads(line)
    if record["name"] in wanted and record["node"] in nodes:
        value = record["value"]
        value = value if value is None else float(f"{value:.4g}")
        series.setdefault(record["name"], {})[record["step"]] = value
steps = sorted({step for values in series.values() for step in values if step > 0})
recorded = {
    "command": sys.argv[3] if len(sys.argv) > 3 else "",
    "steps": config["learner"]["steps"],
    "kl_coef": config["loss"]["kl_coef"],
    "series": {key: [values.get(step) for step in steps] for key, values in sorted(series.items())},
}
(pathlib.Path(__file__).parent / f"{name}.json").write_text(json.dumps(recorded) + "\n")
