import pytest

from local.model.analysis import Analysis, analyse
from local.model.grading import sections
from local.model.signals import Line, read
from tests.unit.model.support import GOOD, POOR, Row


def analysed(*rows: Row) -> Analysis:
    return analyse(tuple(Line(*row) for row in rows))


def ratings(*rows: Row) -> dict[int, str]:
    return {rating.line.number: rating.effectiveness for rating in analysed(*rows).ratings}


def test_a_poor_call_scores_lower_than_a_good_one_in_every_part() -> None:
    poor, good = analysed(*POOR).scores, analysed(*GOOD).scores
    for name in type(poor).__slots__:
        assert getattr(poor, name) < getattr(good, name), name
    assert poor.overall < 40
    assert good.overall > 75


def test_the_lines_of_a_poor_call() -> None:
    assert ratings(*POOR) == {
        1: "poor",
        3: "missed_opportunity",
        5: "missed_opportunity",
        7: "missed_opportunity",
    }


def test_the_lines_of_a_good_call() -> None:
    assert set(ratings(*GOOD).values()) == {"excellent", "good"}
    assert ratings(*GOOD)[5] == "excellent"


def test_a_discount_before_value_costs_points() -> None:
    price = (1, "customer", "That is too expensive.")
    cheap = analysed(price, (2, "rep", "Shall we say 10% off?")).ratings[0]
    value = analysed(price, (2, "rep", "Shall we look at what it saves you?")).ratings[0]
    assert cheap.points < value.points
    assert "gives a discount before the value is clear" in cheap.reasons
    assert "answers the price with value or a question" in value.reasons


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("That is way too expensive", "price"),
        ("Maybe next quarter", "timing"),
        ("I need to ask my boss", "authority"),
        ("We already use another vendor", "competitor"),
        ("I\u2019m not sure it works", "trust"),
        ("I'm not interested", "no need"),
        ("Hello there", None),
    ],
)
def test_objections(said: str, kind: str | None) -> None:
    assert read(said).objection == kind


def test_an_objection_is_answered_by_the_reps_whole_next_turn() -> None:
    found = analysed(
        (1, "customer", "Too expensive."),
        (2, "customer", "Really."),
        (3, "rep", "I understand."),
        (4, "rep", "What would it save you?"),
        (5, "customer", "We already use another vendor."),
    ).objections
    assert [(o.line.number, o.response and o.response.number, o.handled) for o in found] == [
        (1, 3, True),
        (5, None, False),
    ]


def test_a_takeup_of_a_buying_signal_and_its_loss() -> None:
    assert (
        ratings((1, "customer", "Let's do it."), (2, "rep", "Then shall we schedule it?"))[2] == "excellent"
    )
    assert ratings((1, "customer", "Let's do it."), (2, "rep", "No idea."))[2] == "missed_opportunity"


def test_a_monologue_and_many_fillers_are_poor() -> None:
    long = analysed((1, "rep", "word " * 80)).ratings[0]
    assert long.reasons == ("talks for 80 words without a pause",)
    assert ratings((1, "rep", "Um, uh, so basically, you know."))[1] == "poor"


def test_speakers_by_any_name_and_no_lines() -> None:
    assert ratings((1, "Agent", "Hi"), (2, "lead", "Hi")) == {1: "good"}
    empty = analysed()
    assert (empty.scores.overall, empty.talk_ratio, empty.ratings) == (0, 0.0, ())
    assert sections(empty)["line_ratings"] == []


def test_only_customers_speak() -> None:
    found = analysed((1, "customer", "I need help."))
    assert (found.talk_ratio, found.questions, len(found.needs)) == (0.0, 0, 1)
    assert sections(found)["session_analysis"]["call_type"] == "short contact"


def test_sections_say_that_they_are_scripted_and_point_at_lines_that_exist() -> None:
    for call in (POOR, GOOD):
        parts = sections(analysed(*call))
        numbers = {number for number, _, _ in call}
        texts = [
            parts["session_analysis"]["summary"],
            parts["objection_handling"]["summary"],
            parts["coaching"]["focus"],
            *(rating["reason"] for rating in parts["line_ratings"]),
            *(entry["point"] for entries in parts["feedback"].values() for entry in entries),
        ]
        assert all("scripted model" in text.lower() for text in texts)
        assert {
            entry["evidence_line"] for entries in parts["feedback"].values() for entry in entries
        } <= numbers


def test_only_some_lines_are_rated_but_the_whole_call_is_judged() -> None:
    whole, part = sections(analysed(*POOR)), sections(analysed(*POOR), frozenset({3, 7}))
    assert [rating["line_number"] for rating in part["line_ratings"]] == [3, 7]
    assert part["scores"] == whole["scores"]


def test_every_line_but_an_excellent_one_gets_alternatives() -> None:
    for rating in sections(analysed(*POOR, *GOOD))["line_ratings"]:
        assert bool(rating["alternative_lines"]) == (rating["effectiveness"] != "excellent")


def test_answers_to_objections_that_earn_nothing_and_something() -> None:
    def reasons(said: str, reply: str) -> tuple[str, ...]:
        return analysed((1, "customer", said), (2, "rep", reply)).ratings[0].reasons

    assert reasons("Too expensive.", "I understand.") == ("shows empathy",)
    assert "takes up the trust objection" in reasons("I'm not sure.", "What would you need to see?")


def test_the_kind_of_a_call() -> None:
    filler = [(number, "rep", "Hi.") for number in range(2, 5)]

    def kind(said: str) -> str:
        return str(sections(analysed((1, "customer", said), *filler))["session_analysis"]["call_type"])

    assert [kind(said) for said in ("Too expensive.", "Let's do it.", "Hello.")] == [
        "negotiation",
        "closing call",
        "discovery call",
    ]


def test_alternatives_fit_their_line() -> None:
    rows = (
        (1, "rep", "We have two boats in the harbour for you to see"),
        (2, "rep", "Hello."),
        (3, "rep", "You are wrong, whatever."),
        (4, "rep", "Um, uh, well."),
        (5, "rep", "Unfortunately that is not possible."),
    )
    said = [rating["alternative_lines"][0] for rating in sections(analysed(*rows))["line_ratings"]]
    assert said == [
        "We have two boats in the harbour for you to see. What matters most to you here?",
        "Tell me what matters most to you, and I'll start there.",
        "I understand. Tell me more about it, so that I can help you.",
        "Let me put it plainly. What would help you most right now?",
        "That one I can't do. What I can do is look for another way: what matters most to you in it?",
    ]


def test_long_quotes_are_cut() -> None:
    long = "I need " + "a very long boat " * 20
    [need] = sections(analysed((1, "customer", long)))["session_analysis"]["customer_needs"]
    assert len(need) <= 162
    assert need.endswith("…”")
