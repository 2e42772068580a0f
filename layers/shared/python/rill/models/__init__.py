"""Models: catalogue and prices, the streaming client, structured answers."""
