"""A scripted, OpenAI-compatible model: answers by plain rules from prompt and schema, faults on demand."""

from local.model.faults import BadFault
from local.model.log import RequestRecord
from local.model.serving import ScriptedModel

__all__ = ["BadFault", "RequestRecord", "ScriptedModel"]
