"""How many tokens a prompt is: what the quota is charged, and what is billed."""
