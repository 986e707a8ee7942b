"""Record to what a person reads. Formats, computes nothing."""
