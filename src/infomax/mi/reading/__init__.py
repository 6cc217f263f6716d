"""From trained critics to nats: one critic per fold, read on rows that it has not seen."""
