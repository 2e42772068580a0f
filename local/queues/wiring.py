"""Which functions of a template read or fill which of its queues. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from local.functions.template import Function, Template


def with_queues(template: Template, function: Function, urls: Mapping[str, str]) -> Function:
    """The function with the URLs that the queues have here in its environment, in place of `!Ref`'s."""
    here = {queue.url: urls[name] for name, queue in template.queues.items() if name in urls}
    environment = {key: here.get(value, value) for key, value in function.environment.items()}
    return replace(function, environment=environment)


def works_for(template: Template, worker: Function, senders: Iterable[Function]) -> bool:
    """Whether one of the senders knows a queue that the worker reads."""
    known = {value for sender in senders for value in sender.environment.values()}
    return any(
        source.queue in template.queues and template.queues[source.queue].url in known
        for source in worker.sources
    )


def queues_of_functions(template: Template, urls: Mapping[str, str]) -> dict[str, str]:
    """URLs of queues by the names of the functions that read them, or else fill them."""
    found: dict[str, str] = {}
    for function in template.functions.values():
        reads = [source.queue for source in function.sources if source.queue in urls]
        fills = [
            name for name, queue in template.queues.items() if queue.url in function.environment.values()
        ]
        if names := reads or fills:
            found[function.name] = urls[names[0]]
    return found
