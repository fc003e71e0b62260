"""The child process that renders one SVG: standard input to a PNG on standard output.

Run by path, isolated, never imported for its work: it imports nothing of this package, so that it starts quickly.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any, cast

EXIT_REFUSED = 3
EXIT_MISSING = 4
_MAX_DEPTH = 200
_MAX_ELEMENTS = 50_000
_STACK_BYTES = 512 * 2**20
_MEMORY_BYTES = 3 * 2**30
_NAMESPACE = "{http://www.w3.org/2000/svg}"


class _RefusedError(Exception):
    """Says in a few words why this SVG is not rendered."""


def main() -> int:
    """Limits memory, renders in a thread with a deep stack, and returns the exit code."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no limits; the time limit still holds
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    codes: list[int] = []
    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=lambda: codes.append(_work()))
    thread.start()
    thread.join()
    return codes[0] if codes else 1


def _work() -> int:
    try:
        import resvg_py
    except ImportError:
        return EXIT_MISSING
    side = int(sys.argv[1])
    try:
        root = _parse(sys.stdin.buffer.read())
        text = any(element.tag == f"{_NAMESPACE}text" for element in root.iter())
        png = resvg_py.svg_to_bytes(
            svg_string=ElementTree.tostring(root, encoding="unicode"),
            width=side,
            height=side,
            skip_system_fonts=not text,
        )
    except (_RefusedError, ElementTree.ParseError, ValueError, LookupError) as error:
        sys.stderr.write(" ".join(str(error).split())[:100])
        return EXIT_REFUSED
    sys.stdout.buffer.write(png)
    return 0


def _parse(data: bytes) -> ElementTree.Element:
    """Parses with limits on depth and count, and drops references to anything outside the file."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(("start", "end"))
    data = data.lstrip()  # a blank line before the XML declaration is an error only pedants insist on
    depth = elements = 0
    root: ElementTree.Element | None = None
    for start in range(0, len(data), 65_536):
        parser.feed(data[start : start + 65_536])
        for event, element in cast("Iterator[tuple[str, ElementTree.Element]]", parser.read_events()):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            elements += event == "start"
            if depth > _MAX_DEPTH:
                raise _RefusedError(f"groups nested over {_MAX_DEPTH} deep")
            if elements > _MAX_ELEMENTS:
                raise _RefusedError(f"over {_MAX_ELEMENTS} elements")
    parser.close()
    if root is None or root.tag.removeprefix(_NAMESPACE) != "svg":
        raise _RefusedError(f"its root element is {'missing' if root is None else repr(root.tag)}, not svg")
    for element in root.iter():
        if "}" not in element.tag:  # hand-written files often forget the namespace
            element.tag = _NAMESPACE + element.tag
        for attribute in [key for key in element.attrib if key.rpartition("}")[2] == "href"]:
            if not element.attrib[attribute].strip().startswith(("#", "data:")):
                del element.attrib[attribute]
    return root


if __name__ == "__main__":
    sys.exit(main())
