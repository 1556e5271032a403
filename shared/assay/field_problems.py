"""What Pydantic says of one field, in words for people; whoever read the file or message adds what was meant."""

from pydantic_core import ErrorDetails


def field_path(detail: ErrorDetails, whole: str = "") -> str:
    """Where the field stands, with dots; `whole` where the complaint is about all of it."""
    return ".".join(map(str, detail["loc"])) or whole


def field_problem(detail: ErrorDetails) -> str:
    """What is wrong with it; a validator of ours says it in its own words."""
    return detail["msg"].removeprefix("Value error, ")


def field_expectation(detail: ErrorDetails) -> str:
    """The same as the end of a sentence that says what was found."""
    return field_problem(detail).replace("Input should be", "expected")


def field_sentence(detail: ErrorDetails, whole: str = "") -> str:
    """Where it is wrong, and what."""
    return f"{field_path(detail, whole)}: {field_problem(detail)}"
