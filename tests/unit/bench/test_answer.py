"""The answer that every model of the benchmark gives."""

import pytest

from bench.answer import SIZE, answer, cut, request
from grading.models import GradingRequest, GradingResult


@pytest.mark.parametrize("size", [SIZE, 64 * 1024])
def test_answer_is_a_valid_grading_of_that_size(size: int) -> None:
    given = answer(size)
    graded = GradingResult.model_validate_json(given.text)
    assert len(given.text) == size
    assert [rating.line_number for rating in graded.line_ratings] == list(given.lines)
    asked = GradingRequest.model_validate(request(given.lines))
    assert [line.line_number for line in asked.rep_lines] == list(given.lines)


def test_deltas_are_the_text_in_as_many_pieces_as_ever() -> None:
    given = answer()
    assert "".join(given.deltas) == given.text
    assert len(given.deltas) == 4390
    assert cut("") == []


def test_no_grading_is_very_short() -> None:
    with pytest.raises(ValueError, match="as short as"):
        answer(100)
