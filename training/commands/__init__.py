"""The verbs that training serves."""
