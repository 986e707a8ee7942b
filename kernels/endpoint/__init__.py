"""An OpenAI-compatible server on this host as a workload: somebody else's engine, our window."""
