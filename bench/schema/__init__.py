"""The JSON Schema of the record, generated from ``bench.records`` and shipped."""
