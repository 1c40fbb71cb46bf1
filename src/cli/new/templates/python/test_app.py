"""The tools as a model sees them, without a host: `python3 -m unittest`."""

import unittest

from app import greet
from toolhost_plugin import InvalidArguments, testing


class Greet(unittest.TestCase):
    def test_it_greets(self) -> None:
        with testing.Host() as host:
            self.assertEqual(host.call(greet, name="Ada").text, "Hello, Ada!")
            self.assertEqual(host.logs, [("info", "greeting Ada")])

    def test_a_greeting_needs_a_name(self) -> None:
        with testing.Host() as host, self.assertRaisesRegex(InvalidArguments, "`name` is empty"):
            host.call(greet, name=" ")


if __name__ == "__main__":
    unittest.main()
