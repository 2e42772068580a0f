import pytest

from local.model.faults import BadFault, Fault, FaultBook


def kinds(book: FaultBook, count: int, schema: str | None = None, *written: str) -> list[str | int | None]:
    found = [book.take(schema, *written) for _ in range(count)]
    return [(fault.status if fault.kind == "status" else fault.kind) if fault else None for fault in found]


def test_a_status_for_the_first_requests() -> None:
    book = FaultBook("429:2")
    assert book.take("scores") == Fault("status", 0, 429, 1.0, "429:2")
    assert kinds(book, 2) == [429, None]


def test_without_a_count_it_stays() -> None:
    assert kinds(FaultBook("500"), 3) == [500, 500, 500]
    assert FaultBook("500").take(None) == Fault("status", 0, 500, None, "500")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stall@20", Fault("stall", 20, text="stall@20")),
        ("cut", Fault("cut", 8, text="cut")),
        ("refusal", Fault("refusal", 0, text="refusal")),
        ("refusal@3", Fault("refusal", 3, text="refusal@3")),
        ("truncated@20", Fault("truncated", 20, text="truncated@20")),
        ("503:retry=0.25", Fault("status", 0, 503, 0.25, "503:retry=0.25")),
        ("500:retry=2", Fault("status", 0, 500, 2.0, "500:retry=2")),
    ],
)
def test_what_is_written(text: str, fault: Fault) -> None:
    assert FaultBook(text).take(None) == fault


def test_modifiers() -> None:
    assert kinds(FaultBook("cut@3:once"), 2) == ["cut", None]
    assert kinds(FaultBook("500:skip=2:1"), 4) == [None, None, 500, None]


def test_only_a_schema() -> None:
    book = FaultBook("scores=500, line_ratings*=cut, text=refusal")
    assert kinds(book, 1, "scores") == [500]
    assert kinds(book, 1, "line_ratings_2") == ["cut"]
    assert kinds(book, 1, "feedback") == [None]
    assert kinds(book, 1) == ["refusal"]


def test_faults_follow_one_another() -> None:
    assert kinds(FaultBook("429:once,cut:once"), 3) == [429, "cut", None]


def test_a_requests_own_fault_comes_first_and_is_counted_by_its_text() -> None:
    book = FaultBook("500")
    assert kinds(book, 3, None, "429:2") == [429, 429, 500]
    assert kinds(book, 1, None, "cut:1", "stall") == ["cut"]
    book.set("")
    assert kinds(book, 1, None, "429:2") == [429]


def test_the_texts_of_requests_do_not_pile_up() -> None:
    book = FaultBook()
    for count in range(300):
        assert kinds(book, 2, None, f"cut@{count}:once") == ["cut", None]


@pytest.mark.parametrize(
    "text", ["boom", "200", "600", "cut@x", "500:often", "500:retry=soon", "500:skip=", "=500", "@3"]
)
def test_what_is_no_fault(text: str) -> None:
    book = FaultBook("cut")
    with pytest.raises(BadFault):
        book.set(text)
    assert book.text == "cut"
    assert kinds(book, 1) == ["cut"]
