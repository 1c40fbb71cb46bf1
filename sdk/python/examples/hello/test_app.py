"""The tools as a model sees them, without a host: `python -m unittest`."""

import unittest

from app import greet

from toolhost_plugin import InvalidArguments, testing


class Greet(unittest.TestCase):
    def test_it_greets(self) -> None:
        with testing.Host(config={"mark": "?"}) as host:
            result = host.call(greet, name="Ada", times=2)
            self.assertEqual(result.structured, {"text": "Hello, Ada? Hello, Ada?", "length": 23})
            self.assertEqual(host.logs, [("info", "greeting Ada in English")])

    def test_a_greeting_needs_a_name(self) -> None:
        with testing.Host() as host, self.assertRaisesRegex(InvalidArguments, "`name` is empty"):
            host.call(greet, name=" ")


if __name__ == "__main__":
    unittest.main()
