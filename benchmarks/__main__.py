"""Run every benchmark in turn: `python -m benchmarks`. Those that need a peer say so and are left out without it."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "embedded_startup",
    "memory",
    "api",
    "neighbours",
    "claims",
    "backup",
    "job_layer",
    "ingest",
    "judging",
    "infinite_ae",
    "adam_reverse",
    "farzi_figures",
    "recommenders",
    "distill_step",
    "distill_cf_figures",
    "per_byte",
    "sampling",
    "graph_scale",
    "graph_splits",
    "graphs",
    "graph_reduction",
    "tokeniser",
    "tokenise_large",
    "executor",
    "text_density",
    "text_samplers",
    "text_scale",
    "ask_llm",
    "labels",
    "image_kip",
    "image_parts",
    "image_step",
    "image_teachers",
    "transfer_false_claims",
    "off_policy.large_actions",
    "off_policy.suite",
    "off_policy.coverage",
    "off_policy.movielens",
    "off_policy.letter",
    "off_policy.scale",
)
PEER_ONLY = {"off_policy.obp_speed": "--obp-python peers/obp/bin/python (recipe in off_policy/obp_reference.py)"}

if __name__ == "__main__":
    failed = [name for name in ALL if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode]
    for name, needed in PEER_ONLY.items():
        sys.stderr.write(f"left out: python -m benchmarks.{name} {needed}\n")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
