"""``python -m bench.schema > bench/schema/run-1.json``: the record's JSON Schema, made anew.

``python -m bench.schema card > bench/schema/card-1.json`` is the same of the compute card.
"""

import json
import sys

from bench.store import card_schema, json_schema

made = {"run": json_schema, "card": card_schema}[(sys.argv[1:] or ["run"])[0]]
print(json.dumps(made(), indent=2, ensure_ascii=False))
