"""Federated private fine-tuning of language models: LoRA, DP-SGD, secure aggregation, one command.

The rooms (``fedward.common``, ``fedward.client``, ``fedward.server``, ``fedward.simulations``) are links to the
folders of the same name at the top of the repository; see ``docs/adr/0001-rooms-are-links.md``.
"""

__version__ = "0.1.0"
