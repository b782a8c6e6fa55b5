"""Moving pictures through a filter: sources, stages that overlap, and sinks."""
