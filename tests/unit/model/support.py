"""Prompts and schemas the scripted model is tested with."""

import json
from typing import Any

Row = tuple[int, str, str]

POOR: tuple[Row, ...] = (
    (1, "rep", "Um, hi, so, uh, basically I'm calling to sell you our, you know, product."),
    (2, "customer", "Okay. We struggle with slow invoices, we do them manually."),
    (3, "rep", "Right."),
    (4, "customer", "And your product looks expensive for us."),
    (5, "rep", "Whatever, I don't know. I can give you a discount I guess, 20% off."),
    (6, "customer", "I have to think about it."),
    (7, "rep", "You have to decide now, um, it's the last chance."),
)
GOOD: tuple[Row, ...] = (
    (1, "rep", "Good morning! How do you handle your invoices today?"),
    (2, "customer", "We struggle with slow invoices, we do them manually."),
    (3, "rep", "I understand, that must be frustrating. What does it cost you in a month?"),
    (4, "customer", "Two days. But your product looks expensive for us."),
    (
        5,
        "rep",
        "Fair point. It saves 2 days a month, which means it pays for itself. What would that be worth?",
    ),
    (6, "customer", "Sounds good. Send me the details."),
    (7, "rep", "Great, shall we schedule the next step? Does Tuesday work?"),
)


def transcript(rows: tuple[Row, ...], before: str = "Grade this call.", after: str = "") -> str:
    lines = [json.dumps({"line_number": number, "speaker": who, "text": text}) for number, who, text in rows]
    return "\n".join([before, "<transcript>", *lines, "</transcript>", after])


def messages(user: str, system: str = "You grade sales calls.") -> list[dict[str, Any]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def obj(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STR: dict[str, Any] = {"type": "string"}
INT: dict[str, Any] = {"type": "integer"}
PERCENT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 100}


def listed(items: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **rest}


SECTIONS: dict[str, dict[str, Any]] = {
    "session_analysis": obj(
        summary=STR,
        call_type=STR,
        customer_needs=listed(STR),
        outcome=STR,
        talk_ratio={"type": "number", "minimum": 0, "maximum": 1},
        questions_asked=INT,
    ),
    "scores": obj(
        **dict.fromkeys(
            (
                "overall",
                "rapport",
                "discovery",
                "product_knowledge",
                "objection_handling",
                "closing",
                "communication",
            ),
            PERCENT,
        )
    ),
    "feedback": obj(
        strengths=listed(obj(point=STR, evidence_line=INT)),
        improvements=listed(obj(point=STR, evidence_line=INT, suggestion=STR)),
    ),
    "objection_handling": obj(
        objections=listed(
            obj(
                line_number=INT,
                objection=STR,
                response_line={"anyOf": [INT, {"type": "null"}]},
                handled={"type": "boolean"},
                rating=PERCENT,
                better_response=STR,
            )
        ),
        summary=STR,
    ),
    "coaching": obj(focus=STR, priorities=listed(obj(title=STR, why=STR, practice=STR)), next_call_goal=STR),
    "line_ratings": listed(
        obj(
            line_number=INT,
            effectiveness={"type": "string", "enum": ["excellent", "good", "poor", "missed_opportunity"]},
            reason=STR,
            alternative_lines=listed(STR),
        )
    ),
}


def response_format(name: str, schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
