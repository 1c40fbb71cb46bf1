"""Round trips of typed signatures, without a host."""

import unittest

import signatures

from toolhost_plugin import InvalidArguments, testing


def got(result: testing.Result) -> object:
    structured = result.structured
    if structured is None:
        return result.text
    return structured["result"] if isinstance(structured, dict) and set(structured) == {"result"} else structured


class Signatures(unittest.TestCase):
    def test_there_are_thirty(self) -> None:
        self.assertGreaterEqual(len({name for name, _, _ in signatures.CASES}), 30)

    def test_values_come_back_as_they_went(self) -> None:
        for name, value, back in signatures.CASES:
            with self.subTest(tool=name, value=value), testing.Host() as host:
                result = got(host.call(name, {"value": value}))
                self.assertEqual(result, back)
                self.assertIs(type(result), type(back))

    def test_what_does_not_fit_is_refused(self) -> None:
        for name, value in signatures.REFUSED:
            with self.subTest(tool=name, value=value), testing.Host() as host, self.assertRaises(InvalidArguments):
                host.call(name, {"value": value})


if __name__ == "__main__":
    unittest.main()
