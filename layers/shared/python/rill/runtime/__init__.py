"""The in-process Lambda runtime: an ASGI app's messages as a streamed response, each as it is sent.

Modules: `settings`, `wire` and `bridge` are pure; `client` speaks the Runtime API; `response` turns the
app's `send` into a response; `app` loads the app and runs its lifespan; `loop` takes one invocation after
the other. Nothing of Rill is imported here: this is what every cold start waits for.
"""
