"""The stack on one machine. Nothing that is deployed imports it."""
