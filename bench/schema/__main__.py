"""``python -m bench.schema > bench/schema/run-1.json``: the record's JSON Schema, made anew."""

import json

from bench.store import json_schema

print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
