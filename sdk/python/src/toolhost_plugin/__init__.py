"""Plugins for toolhost: tools for language models, each a documented Python function in a WebAssembly sandbox.

    from toolhost_plugin import tool

    @tool(read_only=True)
    def greet(name: str, times: int = 1) -> str:
        \"\"\"Greets somebody.

        Args:
            name: Who to greet.
            times: How often.
        \"\"\"
        return f"Hello, {name}! " * times

`python -m toolhost_plugin.build app.py` makes the component; `toolhost_plugin.testing` calls tools in unit tests.
"""

from ._codec import Field
from ._content import Audio, Contents, Icon, Image, Link, Output, Text
from ._call_error import CallError
from ._errors import Denied, InvalidArguments, ToolError
from ._host import config, log, progress, resource_updated, resources_changed, secret
from ._tool import tool
from .prompts import Message, completes, prompt
from .resources import NotFound, Resource, listing, resource

__all__ = [
    "Audio",
    "CallError",
    "Contents",
    "Denied",
    "Field",
    "Icon",
    "Image",
    "InvalidArguments",
    "Link",
    "Message",
    "NotFound",
    "Output",
    "Resource",
    "Text",
    "ToolError",
    "completes",
    "config",
    "listing",
    "log",
    "progress",
    "prompt",
    "resource",
    "resource_updated",
    "resources_changed",
    "secret",
    "tool",
]

__version__ = "0.1.0"
