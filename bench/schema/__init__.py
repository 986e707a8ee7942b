"""The JSON Schemas of record and compute card, generated from ``bench.records`` and shipped."""
