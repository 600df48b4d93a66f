"""The pages of docs/reference are what the table and the docstrings say now."""

from __future__ import annotations

from docs.build_reference import FOLDER, pages
from jitgrad.core.public import FUNCTIONS


def test_the_reference_is_up_to_date() -> None:
    for file, text in pages():
        assert file.read_text(encoding="utf-8") == text, (
            f"{file.name} is not: python -m docs.build_reference"
        )


def test_every_page_of_the_reference_is_written_from_the_code() -> None:
    assert {file for file, _ in pages()} == set(FOLDER.glob("*.md"))


def test_every_public_function_is_on_a_page() -> None:
    texts = {file.name: text for file, text in pages()}
    for key, public in FUNCTIONS.items():
        if public.namespace == "Tensor" or key == "from_dlpack":
            continue
        assert f"`{key}(" in texts["operations.md"] or f"`{key}`" in texts["operations.md"], key
