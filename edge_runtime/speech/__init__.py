"""Words out of what a speech network says: searches, grammars and their words."""
