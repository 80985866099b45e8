"""How a run dies: keys first, then an overwrite for what it is worth, then a signed certificate."""
