"""The verbs that a device serves; each module's `run` takes the verb's arguments."""
