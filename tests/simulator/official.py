"""Responses of the simulator, compared with the types of the official SDK."""

from __future__ import annotations

from pydantic import BaseModel


def differences(model: BaseModel) -> set[str]:
    """Return the fields that a response lacks, with -, and those that the type lacks, with +."""
    found = {f"-{name}" for name in set(type(model).model_fields) - model.model_fields_set}
    found |= {f"+{name}" for name in model.model_extra or {}}
    for value in vars(model).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                found |= differences(part)
    return found
