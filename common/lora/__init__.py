"""LoRA adapters as flat vectors, and the ways to aggregate them."""
