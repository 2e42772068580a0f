"""Plain text answers, drawn from the prompt. Pure."""

import re

from local.model.analysis import Analysis
from local.model.grading import sections

OPENING = "This is a scripted model's answer, put together by plain rules."
_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=\w))+[.!?]*")
_WORD = re.compile(r"\w{4,}")
MAX_SENTENCES = 5


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text that say something: three words and more, each once."""
    found = (" ".join(match.group().split()).lstrip("#*->• ") for match in _SENTENCE.finditer(text))
    return tuple(dict.fromkeys(sentence for sentence in found if len(sentence.split()) >= 3))


def plain_answer(question: str, material: str, analysis: Analysis | None) -> str:
    """An answer to the question from the sentences of the material that share most words with it."""
    if analysis is not None:
        return _about_call(analysis)
    asked = sentences(question)
    wanted = set(_WORD.findall(question.lower()))
    # The question's own sentences come last: an answer says something new when the prompt holds it.
    pool = [sentence for sentence in sentences(material) if sentence not in asked] + list(asked[:-1])
    ranked = sorted(pool, key=lambda sentence: -len(wanted & set(_WORD.findall(sentence.lower()))))
    parts = [OPENING]
    if asked:
        parts.append(f"You asked: “{asked[-1]}”")
    if ranked:
        parts.append("What the prompt says about it: " + " ".join(ranked[:MAX_SENTENCES]))
    else:
        parts.append("The prompt holds nothing more to answer from, so this is all it can say.")
    return "\n\n".join(parts)


def _about_call(analysis: Analysis) -> str:
    parts = sections(analysis)
    session, coaching = parts["session_analysis"], parts["coaching"]
    return "\n\n".join((OPENING, session["summary"], coaching["focus"], coaching["next_call_goal"]))
