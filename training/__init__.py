"""Training: sharing primitives, networks, recipes, data and the one loop."""
