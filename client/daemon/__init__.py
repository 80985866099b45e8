"""The long-lived process of a site, without the agent that it serves: sockets, limits, repetition, start and end."""
