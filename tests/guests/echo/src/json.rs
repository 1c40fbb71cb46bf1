//! As much of JSON as an object with a string in it needs. The string is unescaped where it
//! lies, since no escape is shorter than what it stands for: a text of a megabyte costs no
//! second megabyte.

use alloc::string::String;

const END: &str = "the arguments end too early";

/// The value of the string member `name` of the JSON object `object`; of several, the last.
pub fn string_member(object: String, name: &str) -> Result<String, &'static str> {
    let mut reader = Reader {
        bytes: object.into_bytes(),
        at: 0,
    };
    let (start, end) = reader.member(name.as_bytes())?;
    let mut text = reader.bytes;
    text.truncate(end);
    text.drain(..start);
    String::from_utf8(text).map_err(|_| "a string is not UTF-8")
}

struct Reader {
    bytes: alloc::vec::Vec<u8>,
    at: usize,
}

impl Reader {
    fn member(&mut self, name: &[u8]) -> Result<(usize, usize), &'static str> {
        let mut found = None;
        if self.token()? != b'{' {
            return Err("the arguments are not an object");
        }
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                if self.token()? != b'"' {
                    return Err("a member has no name");
                }
                let (start, end) = self.string()?;
                if self.token()? != b':' {
                    return Err("a member has no value");
                }
                if self.bytes[start..end] == *name {
                    if self.token()? != b'"' {
                        return Err("the member is not a string");
                    }
                    found = Some(self.string()?);
                } else {
                    self.skip()?;
                }
                match self.token()? {
                    b',' => {}
                    b'}' => break,
                    _ => return Err("the members are not separated by commas"),
                }
            }
        }
        if self.peek().is_ok() {
            return Err("something follows the object");
        }
        found.ok_or("the member is missing")
    }

    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Result<u8, &'static str> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(END)
    }

    fn token(&mut self) -> Result<u8, &'static str> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// Passes over one value. The host has checked that the arguments are JSON, so that counting
    /// brackets is enough, whatever their depth.
    fn skip(&mut self) -> Result<(), &'static str> {
        let mut depth = 0usize;
        loop {
            match self.token()? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1).ok_or("a bracket too many")?,
                b'"' => {
                    self.string()?;
                }
                b',' | b':' => {}
                _ => {
                    while self
                        .bytes
                        .get(self.at)
                        .is_some_and(|byte| !b",:]}".contains(byte))
                    {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Unescapes the string whose opening quote has just been taken, and answers where it lies.
    fn string(&mut self) -> Result<(usize, usize), &'static str> {
        let start = self.at;
        // Up to the first escape nothing has to move.
        while !matches!(self.bytes.get(self.at), None | Some(b'"' | b'\\')) {
            self.at += 1;
        }
        let mut end = self.at;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(END)?;
            self.at += 1;
            match byte {
                b'"' => return Ok((start, end)),
                b'\\' => {
                    let mut utf8 = [0; 4];
                    let char = self.escape()?.encode_utf8(&mut utf8);
                    self.bytes[end..end + char.len()].copy_from_slice(char.as_bytes());
                    end += char.len();
                }
                byte => {
                    self.bytes[end] = byte;
                    end += 1;
                }
            }
        }
    }

    /// The character of an escape whose backslash has just been taken.
    fn escape(&mut self) -> Result<char, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or(END)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                let code = if (0xd800..0xdc00).contains(&unit)
                    && self.bytes[self.at..].starts_with(b"\\u")
                {
                    self.at += 2;
                    let low = self.unit()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err("a string has a lone surrogate");
                    }
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                char::from_u32(code).ok_or("a string has a lone surrogate")?
            }
            _ => return Err("a string has an unknown escape"),
        })
    }

    /// The four hexadecimal digits of a `\u`.
    fn unit(&mut self) -> Result<u32, &'static str> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(END)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit << 4
                | (*digit as char)
                    .to_digit(16)
                    .ok_or("a string has a bad \\u escape")?;
        }
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::string_member;

    fn text(arguments: &str) -> Result<String, &'static str> {
        string_member(String::from(arguments), "text")
    }

    #[test]
    fn a_string_comes_back_as_it_is() {
        assert_eq!(text(r#"{"text":"hello"}"#).unwrap(), "hello");
        assert_eq!(text(" {\n\t\"text\" : \"\" } ").unwrap(), "");
        assert_eq!(text(r#"{"text":"größer 🦀"}"#).unwrap(), "größer 🦀");
    }

    #[test]
    fn every_escape_is_resolved() {
        assert_eq!(
            text(r#"{"text":"\"\\\/\b\f\n\r\t\u0041\u00e9\uD83E\udd80\u0000-"}"#).unwrap(),
            "\"\\/\u{8}\u{c}\n\r\tAé🦀\0-"
        );
        assert_eq!(text(r#"{"\u0074ext":"a"}"#).unwrap(), "a");
    }

    #[test]
    fn other_members_are_passed_over() {
        let others = r#"{"a":{"text":"no","b":[1,2,{"}":"]"}]},"n":-1.5e3,"t":true,"z":null,"e":[],"o":{},"s":"\"","text":"yes","after":[ 1 , 2 ]}"#;
        assert_eq!(text(others).unwrap(), "yes");
        assert_eq!(text(r#"{"text":"first","text":"last"}"#).unwrap(), "last");
    }

    #[test]
    fn what_is_not_such_an_object_is_refused() {
        for bad in [
            "",
            "[]",
            "{",
            "{}",
            "{}x",
            r#"{"text"}"#,
            r#"{"text":1}"#,
            r#"{"text":"a""#,
            r#"{"text":"a"#,
            r#"{"text":"a"}x"#,
            r#"{"text":"\ud83e"}"#,
            r#"{"text":"\ud83e\u0041"}"#,
            r#"{"text":"\udd80"}"#,
            r#"{"text":"\u12"}"#,
            r#"{"text":"\x"}"#,
            r#"{"a":]}"#,
            r#"{"text":"a" "b":1}"#,
        ] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }
}
