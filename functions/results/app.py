"""Composition root: the stores, the API, and the handler that Lambda calls."""

import logging
import os
from collections.abc import Mapping

from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from results.api import create_api
from results.stores import Stores
from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.sessions import SessionStore


def build(env: Mapping[str, str]) -> FastAPI:
    """The API over the tables that `env` names."""
    # The managed runtime has put its own handler there: JSON lines with the request's id.
    logging.getLogger().setLevel(env.get("POWERTOOLS_LOG_LEVEL") or "INFO")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    dynamo = Dynamo(env)
    return create_api(
        Stores(
            sessions=SessionStore(dynamo, env["RILL_SESSIONS_TABLE"]),
            runs=RunQueryStore(dynamo, env["RILL_RUNS_TABLE"]),
            ratings=LineRatingStore(dynamo, env["RILL_LINE_RATINGS_TABLE"]),
        ),
        dynamo.close,
    )


app = build(os.environ)
# Mangum would start and stop a lifespan with every invocation. What is text is not sent as base64.
handler = Mangum(app, lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, "application/x-ndjson"])
