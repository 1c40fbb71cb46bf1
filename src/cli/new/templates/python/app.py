"""The tools of the plugin `{{name}}`: functions with type hints and a docstring."""

from toolhost_plugin import InvalidArguments, log, tool


@tool(read_only=True, idempotent=True, open_world=False)
def greet(name: str) -> str:
    """Greets a person.

    Args:
        name: Name of the person.
    """
    name = name.strip()
    if not name:
        raise InvalidArguments("`name` is empty")
    log.info(f"greeting {name}")
    return f"Hello, {name}!"
