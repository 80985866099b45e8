"""What both sides must agree on. Imports neither ``client`` nor ``server``; no Flower, no sockets, no prompts."""
