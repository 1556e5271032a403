"""A small suite for whole runs: colours of things, three ways of asking, scripted answers."""

from __future__ import annotations

import json
from pathlib import Path

SUITE = """\
version: 1
name: colours
seed: 5
dataset:
  id: id
  columns: [id, text, label]
defaults:
  model: {deployment: small-model, temperature: 0, max_tokens: 20, json: true}
  system: 'Name the colour. Answer in JSON: {"colour": "..."}'
experiments:
  - {name: plain, baseline: true, user: "Item {{ id }}: {{ text }}. Which colour?"}
  - {name: careful, user: "Item {{ id }}: {{ text }}. Look twice. Which colour?"}
  - {name: kind, user: "Item {{ id }}: {{ text }}. Which colour, please?"}
scorers:
  - {plugin: label_match, name: correct, path: colour, expected: label}
"""
COLOURS = ("red", "green", "blue", "grey")


def rows(count: int, prefix: str = "I") -> str:
    """A CSV dataset of `count` rows."""
    lines = [f"{prefix}-{n:05d},thing number {n},{COLOURS[n % 4]}" for n in range(1, count + 1)]
    return "id,text,label\n" + "\n".join(lines) + "\n"


def write_emulator(folder: Path, count: int, median_ms: float, prefix: str = "I") -> Path:
    """The emulator's file and its table of right answers."""
    (folder / "answers.csv").write_text(rows(count, prefix), encoding="utf-8")
    content = {
        "seed": 3,
        "deployments": {
            "small-model": {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": median_ms, "sigma": 0.4}}
        },
        "tasks": [
            {
                "name": "colours",
                "find": rf"Item (?P<key>{prefix}-\d+)",
                "answers": {"file": "answers.csv", "key": "id", "answer": "label"},
                "kind": "label",
                "reply": '{"colour": "ANSWER"}',
                "skill": [
                    {"name": "careful", "when": "Look twice", "easy": 0.95, "hard": 0.95},
                    {"name": "others", "easy": 0.7, "hard": 0.7},
                ],
            }
        ],
    }
    file = folder / "emulator.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def write_suite(folder: Path, text: str = SUITE) -> Path:
    """A suite folder to deploy."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    return folder
