"""Counts the words of a text."""

from jnana_plugin import Input, plugin


@plugin(id="{{name}}", label="{{title}}", noun="Text", icon="🔢", accepts=["text/plain"], control="text")
def count(given: Input) -> str:
    return f"This text has {len(given.text.split())} words."
