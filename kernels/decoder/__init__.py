"""One decoder-only transformer: prefill and decode loops, weights, and the gate before timing."""
