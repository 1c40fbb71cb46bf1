//! CSS selectors, read: the parts of Selectors Level 4 that make sense without a browser.

use std::iter::Peekable;
use std::str::CharIndices;
use toolhost_plugin::Error;

/// What a comma separates: any of them may match.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selectors(pub(crate) Vec<Selector>);

/// Compounds from left to right, each with what leads to it. The first combinator of a selector is the one to the scope, in
/// `:has`, and else has no meaning.
#[derive(Debug, PartialEq)]
pub(crate) struct Selector(pub(crate) Vec<(Combinator, Vec<Simple>)>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Combinator {
    Descendant,
    Child,
    /// The next sibling.
    Next,
    /// A later sibling.
    Later,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Simple {
    Any,
    Name(String),
    Attribute {
        name: String,
        test: Test,
        ignore_case: bool,
    },
    Nth {
        step: isize,
        offset: isize,
        from_end: bool,
        of_type: bool,
    },
    Empty,
    Root,
    /// Its text contains this.
    Contains(String),
    Not(Selectors),
    Is(Selectors),
    Has(Selectors),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Test {
    Exists,
    Equals(String),
    /// One of its words.
    Word(String),
    /// It, or what follows is a hyphen: languages.
    Language(String),
    Starts(String),
    Ends(String),
    Contains(String),
}

const MAX_LENGTH: usize = 2000;
const MAX_NESTING: usize = 8;
const SUPPORTED: &str = ":not(), :is(), :where(), :has(), :first-child, :last-child, :only-child, :nth-child(), \
    :nth-last-child(), :first-of-type, :last-of-type, :only-of-type, :nth-of-type(), :nth-last-of-type(), :empty, :root, \
    :contains(\"text\")";

/// Reads selectors.
pub(crate) fn parse(text: &str) -> Result<Selectors, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error::invalid_arguments(format!(
            "the selector is longer than {MAX_LENGTH} bytes"
        )));
    }
    let mut parser = Parser {
        text,
        rest: text.char_indices().peekable(),
        nesting: 0,
    };
    parser
        .selectors(false)
        .and_then(|selectors| match parser.peek() {
            None => Ok(selectors),
            Some(found) => Err(format!("unexpected {found:?}")),
        })
        .map_err(|why| {
            let offset = parser.offset();
            let column = text[..offset].chars().count() + 1;
            Error::invalid_arguments(format!("selector {text:?}, column {column}: {why}"))
        })
}

struct Parser<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
    nesting: usize,
}

type Parsed<T> = Result<T, String>;

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn offset(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn expect(&mut self, wanted: char) -> Parsed<()> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.rest.next();
                Ok(())
            }
            Some(found) => Err(format!("expected {wanted:?}, found {found:?}")),
            None => Err(format!("expected {wanted:?} before the end")),
        }
    }

    fn skip_space(&mut self) -> bool {
        let mut is_space = false;
        while self
            .rest
            .next_if(|(_, c)| c.is_ascii_whitespace())
            .is_some()
        {
            is_space = true;
        }
        is_space
    }

    fn selectors(&mut self, is_relative: bool) -> Parsed<Selectors> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("nested deeper than {MAX_NESTING} levels"));
        }
        let mut selectors = Vec::new();
        loop {
            selectors.push(self.selector(is_relative)?);
            if !self.take(',') {
                self.nesting -= 1;
                return Ok(Selectors(selectors));
            }
        }
    }

    fn selector(&mut self, is_relative: bool) -> Parsed<Selector> {
        self.skip_space();
        let mut combinator = match self.combinator() {
            Some(combinator) if is_relative => combinator,
            Some(_) => return Err("a selector cannot start with a combinator".to_owned()),
            None => Combinator::Descendant,
        };
        let mut compounds = Vec::new();
        loop {
            self.skip_space();
            compounds.push((combinator, self.compound()?));
            let is_space = self.skip_space();
            combinator = match self.combinator() {
                Some(combinator) => combinator,
                None if matches!(self.peek(), None | Some(',' | ')')) => {
                    return Ok(Selector(compounds));
                }
                None if is_space => Combinator::Descendant,
                None => return Err(self.unexpected()),
            };
        }
    }

    fn combinator(&mut self) -> Option<Combinator> {
        let combinator = match self.peek()? {
            '>' => Combinator::Child,
            '+' => Combinator::Next,
            '~' => Combinator::Later,
            _ => return None,
        };
        self.rest.next();
        Some(combinator)
    }

    fn unexpected(&mut self) -> String {
        match self.peek() {
            Some(found) => format!("unexpected {found:?}"),
            None => "it ends too early".to_owned(),
        }
    }

    fn compound(&mut self) -> Parsed<Vec<Simple>> {
        let mut simples = Vec::new();
        loop {
            let simple = match self.peek() {
                Some('*') if simples.is_empty() => {
                    self.rest.next();
                    Simple::Any
                }
                Some('#') => {
                    self.rest.next();
                    attribute("id", Test::Equals(self.name()?))
                }
                Some('.') => {
                    self.rest.next();
                    attribute("class", Test::Word(self.name()?))
                }
                Some('[') => {
                    self.rest.next();
                    self.attribute()?
                }
                Some(':') => self.pseudo()?,
                Some(c) if simples.is_empty() && is_name(c) => Simple::Name(self.name()?),
                _ if simples.is_empty() => return Err(self.unexpected()),
                _ => return Ok(simples),
            };
            simples.push(simple);
        }
    }

    /// A name, with CSS's escapes.
    fn name(&mut self) -> Parsed<String> {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| is_name(*c)) {
            self.rest.next();
            name.push(if c == '\\' { self.escaped()? } else { c });
        }
        if name.is_empty() {
            return Err(match self.peek() {
                Some(found) => format!("expected a name, found {found:?}"),
                None => "expected a name before the end".to_owned(),
            });
        }
        Ok(name)
    }

    /// What is behind a backslash: up to six hexadecimal digits and a space, or any character.
    fn escaped(&mut self) -> Parsed<char> {
        let mut digits = String::new();
        while let Some((_, digit)) = self
            .rest
            .next_if(|(_, c)| c.is_ascii_hexdigit() && digits.len() < 6)
        {
            digits.push(digit);
        }
        if digits.is_empty() {
            return match self.rest.next() {
                Some((_, c)) => Ok(c),
                None => Err("it ends with a backslash".to_owned()),
            };
        }
        self.take(' ');
        let code = u32::from_str_radix(&digits, 16).unwrap_or_default();
        Ok(char::from_u32(code)
            .filter(|c| *c != '\0')
            .unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn attribute(&mut self) -> Parsed<Simple> {
        self.skip_space();
        let name = self.name()?;
        self.skip_space();
        let test: fn(String) -> Test = match self.peek() {
            Some(']') => {
                self.rest.next();
                return Ok(attribute(&name, Test::Exists));
            }
            Some('=') => Test::Equals,
            Some('~') => Test::Word,
            Some('|') => Test::Language,
            Some('^') => Test::Starts,
            Some('$') => Test::Ends,
            Some('*') => Test::Contains,
            Some('!') => return Err("\"!=\" is not CSS: write :not([name=value])".to_owned()),
            _ => return Err(self.unexpected()),
        };
        if !self.take('=') {
            self.rest.next();
            self.expect('=')?;
        }
        self.skip_space();
        let value = self.value()?;
        let mut ignore_case = false;
        if self.skip_space() || matches!(self.peek(), Some('i' | 's' | 'I' | 'S')) {
            if self.take('i') || self.take('I') {
                ignore_case = true;
            } else if !self.take('s') {
                self.take('S');
            }
            self.skip_space();
        }
        self.expect(']')?;
        Ok(Simple::Attribute {
            name,
            test: test(value),
            ignore_case,
        })
    }

    /// A string in quotes, or a name.
    fn value(&mut self) -> Parsed<String> {
        let Some(quote) = self.peek().filter(|c| matches!(c, '"' | '\'')) else {
            return self.name();
        };
        self.rest.next();
        let mut value = String::new();
        loop {
            match self.rest.next() {
                None => return Err(format!("a string is not closed by {quote}")),
                Some((_, c)) if c == quote => return Ok(value),
                Some((_, '\\')) => value.push(self.escaped()?),
                Some((_, c)) => value.push(c),
            }
        }
    }

    fn pseudo(&mut self) -> Parsed<Simple> {
        let start = self.offset();
        self.expect(':')?;
        if self.take(':') {
            let name = self.name().unwrap_or_default();
            self.go_back(start);
            return Err(match &*name {
                "text" => "\"::text\" is not CSS: every result has its text".to_owned(),
                "attr" => {
                    "\"::attr()\" is not CSS: `fields` take attributes, as in \"a@href\"".to_owned()
                }
                _ => format!("pseudo-elements such as ::{name} are not in a document"),
            });
        }
        let name = self.name()?.to_ascii_lowercase();
        let nth = |step, offset, from_end, of_type| Simple::Nth {
            step,
            offset,
            from_end,
            of_type,
        };
        let both = |of_type| {
            let (first, last) = (nth(0, 1, false, of_type), nth(0, 1, true, of_type));
            Simple::Is(Selectors(vec![Selector(vec![(
                Combinator::Descendant,
                vec![first, last],
            )])]))
        };
        Ok(match &*name {
            "first-child" => nth(0, 1, false, false),
            "last-child" => nth(0, 1, true, false),
            "first-of-type" => nth(0, 1, false, true),
            "last-of-type" => nth(0, 1, true, true),
            "only-child" => both(false),
            "only-of-type" => both(true),
            "empty" => Simple::Empty,
            "root" => Simple::Root,
            "nth-child" | "nth-last-child" | "nth-of-type" | "nth-last-of-type" => {
                let (step, offset) = self.in_brackets(Self::nth)?;
                nth(
                    step,
                    offset,
                    name.starts_with("nth-last"),
                    name.ends_with("of-type"),
                )
            }
            "not" => Simple::Not(self.in_brackets(|parser| parser.selectors(false))?),
            "is" | "where" | "matches" | "any" => {
                Simple::Is(self.in_brackets(|parser| parser.selectors(false))?)
            }
            "has" => Simple::Has(self.in_brackets(|parser| parser.selectors(true))?),
            "contains" | "-soup-contains" => Simple::Contains(self.in_brackets(Self::value)?),
            _ => {
                self.go_back(start);
                return Err(format!(
                    "pseudo-class :{name} is not supported; these are: {SUPPORTED}"
                ));
            }
        })
    }

    /// So that an error names the start of what is wrong.
    fn go_back(&mut self, offset: usize) {
        self.rest = self.text.char_indices().peekable();
        while self.rest.next_if(|(at, _)| *at < offset).is_some() {}
    }

    fn in_brackets<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.expect('(')?;
        self.skip_space();
        let value = inner(self)?;
        self.skip_space();
        self.expect(')')?;
        Ok(value)
    }

    /// `odd`, `even`, `3`, `2n+1`, `-n + 3`.
    fn nth(&mut self) -> Parsed<(isize, isize)> {
        let start = self.offset();
        let mut text = String::new();
        while let Some((_, c)) = self
            .rest
            .next_if(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ' '))
        {
            if c != ' ' {
                text.push(c.to_ascii_lowercase());
            }
        }
        let number = |text: &str| match text {
            "" | "+" => Some(1),
            "-" => Some(-1),
            _ => text
                .parse::<isize>()
                .ok()
                .filter(|n| n.abs() < 1_000_000_000),
        };
        let parsed = match (&*text, text.split_once('n')) {
            ("odd", _) => Some((2, 1)),
            ("even", _) => Some((2, 0)),
            ("", _) => None,
            (_, Some((step, ""))) => number(step).map(|step| (step, 0)),
            (_, Some((step, offset))) if offset.starts_with(['+', '-']) => {
                number(step).zip(number(offset).filter(|_| offset.len() > 1))
            }
            (_, None) if !matches!(&*text, "+" | "-") => number(&text).map(|offset| (0, offset)),
            _ => None,
        };
        parsed.ok_or_else(|| {
            self.go_back(start);
            "expected a position such as 3, odd, even, 2n+1 or -n+3".to_owned()
        })
    }
}

fn attribute(name: &str, test: Test) -> Simple {
    Simple::Attribute {
        name: name.to_owned(),
        test,
        ignore_case: false,
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '\\') || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn errors_say_where_and_what_is_supported() {
        for (selector, why) in [
            ("", "column 1: it ends too early"),
            ("a >", "column 4: it ends too early"),
            ("> a", "column 2: a selector cannot start"),
            ("é[x", "column 4: it ends too early"),
            ("a[x!=y]", "\"!=\" is not CSS"),
            ("a::text", "column 2: \"::text\" is not CSS"),
            (
                "p:hover",
                "column 2: pseudo-class :hover is not supported; these are: :not()",
            ),
            ("p:nth-child(x)", "column 13: expected a position"),
            ("a,,b", "column 3: unexpected ','"),
            ("a)", "column 2: unexpected ')'"),
            ("a[x='y]", "not closed"),
            (&":not(".repeat(20), "nested deeper than 8"),
            (&"a".repeat(3000), "longer than"),
        ] {
            let error = parse(selector).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }
}
