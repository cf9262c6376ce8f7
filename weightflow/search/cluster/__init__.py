"""What a search runs on: a Ray cluster, its nodes and their shapes, and the pool of workers."""
