"""What requests are made of. JSON tells texts, numbers and truth apart, and so do they: neither "5" nor true is a number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class Asked(BaseModel):
    """A request, or a part of one. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError(f"a number is wanted, not {'a text' if isinstance(value, str) else 'true or false'}")
    return value


def _headers(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError:
        raise ValueError("an object of texts is wanted, or pairs of texts to repeat a name") from None


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Truth = Annotated[bool, Strict()]
Headers = Annotated[dict[str, str] | list[tuple[str, str]], WrapValidator(_headers)]
