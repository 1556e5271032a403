"""Early stop: what is known of an experiment while it is asked, and the rules that end it."""
