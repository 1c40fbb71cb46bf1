"""Answers of libraries of others, for the tests of the plugins.

Reads {"function": NAME, "arguments": [...]} from stdin, and writes an array with an answer for each argument.
"""

import base64
import csv
import hashlib
import html
import io
import json
import re
import sqlite3
import sys
import urllib.parse
import zlib


def hash_of(text):
    import blake3

    data = text.encode()
    hashes = {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}
    return hashes | {"crc32": f"{zlib.crc32(data):08x}", "blake3": blake3.blake3(data).hexdigest()}


def encoded(text):
    data = text.encode()
    return {
        "base64": base64.b64encode(data).decode(),
        "base64url": base64.urlsafe_b64encode(data).decode().rstrip("="),
        "hex": data.hex(),
        "percent": urllib.parse.quote(text, safe=""),
        "html": html.escape(text),
        "json": json.dumps(text, ensure_ascii=False),
    }


def unescaped(text):
    return {"html": html.unescape(text), "percent": urllib.parse.unquote(text)}


def replaced(arguments):
    """`re.subn`, with the replacement written as Python has it."""
    text, pattern, replacement = arguments
    return list(re.subn(pattern, replacement, text))


def soup_of(text):
    from bs4 import BeautifulSoup

    return BeautifulSoup(text, "html5lib")


def selected(arguments):
    """The text without whitespace and the attributes of what a selector selects."""
    from bs4.element import NavigableString, PreformattedString

    document, selectors = arguments
    soup = soup_of(document)

    def described(tag):
        attributes = {
            name: " ".join(value) if isinstance(value, list) else value for name, value in tag.attrs.items()
        }
        return [tag.name, "".join(shown(tag).split()), attributes]

    def shown(tag):
        # Not `get_text`: with html5lib it takes scripts and styles inside of the tag for text.
        hidden = ["script", "style", "template", "noscript"]
        return "".join(
            "" if isinstance(child, PreformattedString) else str(child)
            if isinstance(child, NavigableString)
            else "" if child.name in hidden else shown(child)
            for child in tag.children
        )

    return [[described(tag) for tag in soup.select(selector)] for selector in selectors]


def tables(document):
    import pandas

    frames = pandas.read_html(io.StringIO(document), flavor="bs4", header=None, keep_default_na=False, converters=None)
    return [[[" ".join(cell.split()) for cell in row] for row in frame.astype(str).values.tolist()] for frame in frames]


def links(document):
    return [[" ".join(a.get_text().split()), a["href"]] for a in soup_of(document).select("a[href], area[href]")]


def metadata(document):
    soup = soup_of(document)
    meta = {}
    for tag in soup.find_all("meta"):
        name = tag.get("name") or tag.get("property")
        if name and tag.get("content") is not None:
            meta.setdefault(name.lower(), []).append(tag["content"])
    return {
        "title": soup.title and " ".join(soup.title.get_text().split()),
        "language": soup.html.get("lang"),
        "meta": meta,
        "headings": [
            [int(tag.name[1]), " ".join(tag.get_text().split())] for tag in soup.find_all(re.compile("^h[1-6]$"))
        ],
    }


def rendered(markdown):
    """Markdown as HTML, by CommonMark's rules, with tables."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").enable("strikethrough").render(markdown)


def queried(arguments):
    """SQL over a CSV file whose columns have these types."""
    path, types, queries = arguments
    connection = sqlite3.connect(":memory:")
    with open(path, newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    definitions = ", ".join(f'"{name}" {kind}' for name, kind in zip(header, types, strict=True))
    connection.execute(f"CREATE TABLE t ({definitions})")
    places = ", ".join("?" * len(header))
    connection.executemany(
        f"INSERT INTO t VALUES ({places})", [[None if cell == "" else cell for cell in row] for row in rows]
    )
    return [connection.execute(query).fetchall() for query in queries]


def parquet(arguments):
    """Writes a Parquet file in each compression, and answers with the rows as they are meant."""
    import datetime
    import decimal

    import pyarrow
    import pyarrow.parquet

    folder, codecs = arguments
    moment = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456)
    table = pyarrow.table(
        {
            "i": pyarrow.array([1, None, -(2**63)], pyarrow.int64()),
            "u": pyarrow.array([2**64 - 1, 0, None], pyarrow.uint64()),
            "f": pyarrow.array([0.1, None, -2.5], pyarrow.float32()),
            "d": pyarrow.array([0.1, 1e300, None], pyarrow.float64()),
            "b": pyarrow.array([True, False, None]),
            "s": pyarrow.array(["é\n\"'", "", None]),
            "c": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
            "day": pyarrow.array([datetime.date(2024, 2, 29), datetime.date(1969, 12, 31), None]),
            "ms": pyarrow.array([moment, None, None], pyarrow.timestamp("ms")),
            "us": pyarrow.array([moment, None, None], pyarrow.timestamp("us")),
            "ns": pyarrow.array([moment, None, None], pyarrow.timestamp("ns")),
            "money": pyarrow.array([decimal.Decimal("12.30"), decimal.Decimal("-0.05"), None], pyarrow.decimal128(9, 2)),
            "list": pyarrow.array([[1, 2], [], None], pyarrow.list_(pyarrow.int32())),
            "struct": pyarrow.array([{"a": 1, "b": "x"}, None, None]),
            "raw": pyarrow.array([b"\x00\xff", None, b""], pyarrow.binary()),
        }
    )
    for codec in codecs:
        pyarrow.parquet.write_table(table, f"{folder}/{codec}.parquet", compression=codec, row_group_size=2)
    return True


def main():
    request = json.load(sys.stdin)
    function = globals()[request["function"]]
    json.dump([function(argument) for argument in request["arguments"]], sys.stdout)


main()
