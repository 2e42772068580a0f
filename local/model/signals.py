"""What a line of a call shows, found by plain word lists. Pure.

The lists are short on purpose: they have to be explainable to a person who reads a rating, not complete.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Objection = Literal["price", "timing", "authority", "competitor", "trust", "no need"]

REP_SPEAKERS = frozenset({"rep", "agent", "seller", "salesperson", "sales", "assistant"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript, as the prompt gives it."""

    number: int
    speaker: str
    text: str

    @property
    def is_rep(self) -> bool:
        return self.speaker.strip().lower() in REP_SPEAKERS


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(phrases) + r")(?!\w)", re.IGNORECASE)


_FILLER = _any(
    "u+m+", "u+h+", "er+m?", "you know", "basically", "sort of", "kind of", "i guess", "i mean", "literally",
    r"(?<=, )like(?=,)", "to be honest", "or something", "or whatever", "stuff like that",
)  # fmt: skip
_OPEN = _any(
    "what(?:'s)?", "how", "why", "which", "who", "when", "where", "tell me", "walk me through", "describe",
    "help me understand",
)  # fmt: skip
_BENEFIT = _any(
    "sav(?:e|es|ed|ing|ings)", "faster", "easier", "increas(?:e|es|ed|ing)", "reduc(?:e|es|ed|ing|tion)",
    "improv(?:e|es|ed|ing|ement)", "so (?:that )?you", "which means", "that means", "helps you", "lets you",
    "grow(?:s|th)?", "roi", "benefits?", "pays? for itself", "protect(?:s|ion)?", "warranty",
    "guarantee[ds]?",
    "included", "no extra (?:cost|charge)", "free shipping", "customers like you", "worth it", "cuts?",
)  # fmt: skip
_EMPATHY = _any(
    "i (?:completely |totally |fully )?(?:understand|hear you|get (?:it|that))",
    "(?:that|this|it) makes sense",
    "makes (?:perfect |total )?sense", "(?:i'm |i am |so )?sorry", "appreciate",
    "thanks for (?:sharing|telling)",
    "thank you for (?:sharing|telling)", "good question", "great question", "fair (?:point|question|concern)",
    "that must", "i can (?:see|imagine)", "happy to help", "my pleasure", "glad to", "frustrating",
)  # fmt: skip
_WARM = _any(
    "hi", "hello", "hey", "welcome", "good (?:morning|afternoon|evening)", "thanks?", "thank you", "please",
    "have a (?:great|good|nice) (?:day|one|evening|weekend)", "you're welcome",
)  # fmt: skip
_CLOSE = _any(
    "next steps?", "shall we", "schedule", "book", "calendar", "sign (?:up|the)", "get (?:you )?started",
    "go ahead and", "move forward", "place (?:the|your|an) order", "set (?:you |that |it |this )?up",
    "does \\w+ (?:at \\w+ )?work",
    "send (?:you |over )?(?:the|a) (?:contract|agreement|proposal|invite|quote)",
    "would you like (?:me )?to (?:order|buy|book|try|start|proceed|continue|go)", "ready to", "checkout",
    "confirm (?:the|your|that)", "anything else",
)  # fmt: skip
_DISCOUNT = _any("discount", r"\d+ ?% off", "percent off", "knock off", "cheaper for you", "lower the price")
_NEGATIVE = _any(
    "i (?:don't|do not|dunno|wouldn't) know", "no idea", "not my (?:problem|department|job)", "calm down",
    "whatever",
    "you're wrong", "take it or leave it", "last chance", "you have to (?:decide|buy|sign)", "obviously",
    "nothing i can do", "can't help", "that's just how it is", "you should have", "hurry up", "your fault",
    "look it up",
)  # fmt: skip
_REFUSAL = _any(
    "unfortunately", "(?:we|i) (?:cannot|can't|won't|are unable to|am unable to|couldn't)", "not possible",
    "not able to",
    "(?:out of stock|sold out)", "we don't (?:have|offer|do)",
)  # fmt: skip
_NEED = _any(
    "(?:i|we) (?:really )?(?:need|want|would like)", "(?:i'd|we'd) like", "looking (?:for|to|into)",
    "trying to(?! help)",
    "problems?", "struggl(?:e|es|ing)", "issues?", "challenges?", "hoping", "wish",
    "takes? (?:too long|hours|days)",
    "frustrat(?:ed|ing)", "doesn't work", "manual(?:ly)?", "interested in",
)  # fmt: skip
_BUYING = _any(
    "sounds (?:good|great|perfect)", "let's do (?:it|that)", "i'll take", "we'll take",
    "how do (?:i|we) (?:sign|start)",
    "when can we start", "sign me up", "send (?:me|it|us)", "deal", "go ahead", "i'll buy", "book it",
    "works for me",
)  # fmt: skip
_OBJECTIONS: tuple[tuple[Objection, re.Pattern[str]], ...] = (
    ("no need", _any("not interested", "(?:don't|do not) (?:really )?need", "no need", "happy with what")),
    ("price", _any("expensive", "too much", "pric(?:ey|y)", "budget", "afford", "cheaper",
                   "costs? (?:a lot|more)",
                   "(?:that|the) price is", "high price", "can't pay")),
    ("timing", _any("not (?:right )?now", "next (?:quarter|year|month)", "too busy",
                    "call (?:me )?back later",
                    "think about it", "think it over", "no time", "bad time", "some other time")),
    ("authority", _any("my (?:boss|manager|partner|wife|husband|team|director|cfo|ceo)", "not my decision",
                       "have to (?:ask|check with|run it by)")),
    ("competitor", _any("already (?:use|using|have|work with)", "competitors?", "other vendor",
                        "another (?:company|vendor|provider|supplier)", "elsewhere")),
    ("trust", _any("not (?:so )?sure", "doubt", "risky?", "skeptical", "sceptical", "worried",
                   "concern(?:ed|s)?",
                   "not convinced", "scam", "too good to be true")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signals:
    """What one line shows; the same fields for rep and customer, read differently."""

    words: int
    fillers: tuple[str, ...] = ()
    asks: bool = False
    asks_openly: bool = False
    benefits: tuple[str, ...] = ()
    figures: bool = False
    empathy: bool = False
    warm: bool = False
    closes: bool = False
    discount: bool = False
    negative: tuple[str, ...] = ()
    refuses: bool = False
    need: bool = False
    buying: bool = False
    objection: Objection | None = None


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match.group().lower() for match in pattern.finditer(text)))


@lru_cache(maxsize=8192)
def read(text: str) -> Signals:
    """Everything the rules need to know about a line's text."""
    text = text.replace("\u2019", "'")
    asks = "?" in text
    return Signals(
        words=len(text.split()),
        fillers=tuple(match.group().lower() for match in _FILLER.finditer(text)),
        asks=asks,
        asks_openly=asks and _OPEN.search(text) is not None,
        benefits=_found(_BENEFIT, text),
        figures=any(character.isdigit() for character in text),
        empathy=_EMPATHY.search(text) is not None,
        warm=_WARM.search(text) is not None,
        closes=_CLOSE.search(text) is not None,
        discount=_DISCOUNT.search(text) is not None,
        negative=_found(_NEGATIVE, text),
        refuses=_REFUSAL.search(text) is not None,
        need=_NEED.search(text) is not None,
        buying=_BUYING.search(text) is not None,
        objection=next((kind for kind, pattern in _OBJECTIONS if pattern.search(text)), None),
    )
