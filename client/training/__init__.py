"""The DP-SGD engine on Opacus, per-sample LoRA gradients, the base-model provider."""
