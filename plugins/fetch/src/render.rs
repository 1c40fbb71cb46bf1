//! From an answer's bytes to what a model reads.

use crate::charset::decode;
use html_tree::Links;
use toolhost_plugin::{Error, Output, arguments};
use url::Url;

/// What to make of the contents.
#[arguments]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Auto,
    Markdown,
    Text,
    Raw,
}

/// An answer, read.
pub(crate) struct Page<'a> {
    pub(crate) url: &'a Url,
    pub(crate) status: u16,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Vec<u8>,
    /// There was more than was read.
    pub(crate) is_cut: bool,
}

const MAX_IMAGE_BYTES: usize = 700_000;

impl Page<'_> {
    /// The page from byte `offset` of its text on.
    pub(crate) fn output(
        self,
        format: Format,
        offset: usize,
        max_bytes: usize,
    ) -> Result<Output, Error> {
        let content_type = self.content_type();
        if let Some(mime_type) = content_type
            .strip_prefix("image/")
            .filter(|kind| *kind != "svg+xml")
        {
            return self.image(&format!("image/{mime_type}"));
        }
        if let Some(encoding) =
            header(self.headers, "content-encoding").filter(|encoding| *encoding != "identity")
        {
            return Err(Error::failed(format!(
                "{} answered with {encoding}, though it was asked not to compress",
                self.url
            )));
        }
        if format != Format::Raw && self.body[..self.body.len().min(8192)].contains(&0) {
            return Err(Error::failed(format!(
                "{} is not text: {} bytes of {}",
                self.url,
                self.body.len(),
                if content_type.is_empty() {
                    "no stated type"
                } else {
                    content_type.as_str()
                }
            )));
        }
        let text = self.text(format)?;
        if text.is_empty() {
            return Ok(Output::text(self.head()).with_text(self.note(&content_type, "no contents")));
        }

        let start = floor_char_boundary(&text, offset);
        if start >= text.len() {
            return Err(Error::invalid_arguments(format!(
                "offset {offset} is past the end: there are only {} bytes",
                text.len()
            )));
        }
        let end = floor_char_boundary(&text, start.saturating_add(max_bytes));
        let more = if self.is_cut { "at least " } else { "" };
        let mut extent = if (start, end) == (0, text.len()) && !self.is_cut {
            format!("all {} bytes", text.len())
        } else {
            format!("bytes {start} to {end} of {more}{}", text.len())
        };
        if end < text.len() {
            extent.push_str(&format!("; continue with offset {end}"));
        } else if self.is_cut {
            extent.push_str(&format!(
                "; only the first {} bytes are read",
                self.body.len()
            ));
        }
        Ok(Output::text(&text[start..end]).with_text(self.note(&content_type, &extent)))
    }

    /// What went wrong, in the server's words, but not too many of them.
    pub(crate) fn failure(self, max_bytes: usize) -> String {
        let mut message = format!("{} answered {}", self.url, status(self.status));
        let text = self.text(Format::Auto).unwrap_or_default();
        if !text.is_empty() {
            let end = floor_char_boundary(&text, max_bytes);
            message.push_str(": ");
            message.push_str(&text[..end]);
            message.push_str(if end < text.len() { "…" } else { "" });
        }
        message
    }

    fn text(&self, format: Format) -> Result<String, Error> {
        let text = decode(
            &self.body,
            header(self.headers, "content-type").unwrap_or_default(),
        );
        let is_html = match self.content_type().as_str() {
            "text/html" | "application/xhtml+xml" => true,
            "" => text
                .trim_start()
                .get(..15)
                .is_some_and(|start| start.eq_ignore_ascii_case("<!doctype html>")),
            _ => false,
        };
        match format {
            Format::Raw => Ok(text.into_owned()),
            Format::Markdown => markdown(&text, self.url, Links::Keep),
            Format::Auto if is_html => markdown(&text, self.url, Links::Keep),
            Format::Text if is_html => markdown(&text, self.url, Links::TextOnly),
            Format::Auto | Format::Text => Ok(text.into_owned()),
        }
    }

    fn image(self, mime_type: &str) -> Result<Output, Error> {
        if self.is_cut || self.body.len() > MAX_IMAGE_BYTES {
            return Err(Error::failed(format!(
                "{} is an image ({mime_type}) of more than the {MAX_IMAGE_BYTES} bytes that can be shown",
                self.url
            )));
        }
        let note = self.note(mime_type, &format!("all {} bytes", self.body.len()));
        Ok(Output::new()
            .with_image(mime_type, self.body)
            .with_text(note))
    }

    fn content_type(&self) -> String {
        let value = header(self.headers, "content-type").unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    /// Where there are no contents, the headers are the answer.
    fn head(&self) -> String {
        let mut head = status(self.status);
        for (name, value) in self.headers {
            head.push_str(&format!("\n{name}: {value}"));
        }
        head
    }

    fn note(&self, content_type: &str, extent: &str) -> String {
        let content_type = if content_type.is_empty() {
            "no stated type"
        } else {
            content_type
        };
        format!(
            "[{} from {}, {content_type}, {extent}]",
            status(self.status),
            self.url
        )
    }
}

/// The first header of this name, which is in lower case.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

fn status(code: u16) -> String {
    let name = match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return code.to_string(),
    };
    format!("{code} {name}")
}

fn markdown(html: &str, base: &Url, links: Links) -> Result<String, Error> {
    let tree = html_tree::parse(html)
        .map_err(|error| error.context(format_args!("{base} (try format \"raw\")")))?;
    html_tree::resolve_links(&tree, Some(base));
    Ok(html_tree::markdown(&tree, links))
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolhost_plugin::Content;

    const HTML: &str = "<!doctype html><html><head><title>T</title><style>b{}</style></head><body><h1>Hi</h1>\
        <p>A <a href='../b?c=1'>link</a> and <b>more</b>.</p><img src='data:image/png;base64,AAAA' alt='x'>\
        <ul><li>one</li><li>two</li></ul><script>no()</script></body></html>";

    fn output(
        content_type: &str,
        body: &[u8],
        format: Format,
        offset: usize,
        max_bytes: usize,
    ) -> Result<Vec<String>, String> {
        let url = Url::parse("https://a.org/x/y").unwrap();
        let headers = [("content-type".to_owned(), content_type.to_owned())];
        let page = Page {
            url: &url,
            status: 200,
            headers: &headers,
            body: body.to_vec(),
            is_cut: false,
        };
        let output = page
            .output(format, offset, max_bytes)
            .map_err(|error| error.message().to_owned())?;
        let text = |content: &Content| match content {
            Content::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        Ok(output.content().iter().map(text).collect())
    }

    #[test]
    fn html_becomes_markdown_with_absolute_links() {
        let page = output(
            "text/html; charset=utf-8",
            HTML.as_bytes(),
            Format::Auto,
            0,
            5000,
        )
        .unwrap();
        assert_eq!(
            page[0],
            "# Hi\n\nA [link](https://a.org/b?c=1) and **more**.\n\n![x]()\n\n- one\n- two"
        );
        let page = output("text/html", HTML.as_bytes(), Format::Text, 0, 5000).unwrap();
        assert_eq!(page[0], "# Hi\n\nA link and **more**.\n\n- one\n- two");
        assert_eq!(
            output("text/html", HTML.as_bytes(), Format::Raw, 0, 5000).unwrap()[0],
            HTML
        );
        let deep = "<div>".repeat(1000);
        assert!(
            output("text/html", deep.as_bytes(), Format::Auto, 0, 5000)
                .unwrap_err()
                .contains("nested")
        );
    }

    #[test]
    fn long_pages_come_in_parts() {
        let part = |offset| {
            output(
                "text/plain",
                "aé".repeat(10).as_bytes(),
                Format::Auto,
                offset,
                5,
            )
            .unwrap()
        };
        assert_eq!(
            part(0),
            [
                "aéa",
                "[200 OK from https://a.org/x/y, text/plain, bytes 0 to 4 of 30; continue with offset 4]"
            ]
        );
        assert_eq!(part(4)[0], "éaé");
        assert_eq!(
            part(27)[1],
            "[200 OK from https://a.org/x/y, text/plain, bytes 27 to 30 of 30]"
        );
        assert!(output("text/plain", b"a", Format::Auto, 1, 5).is_err());
    }

    #[test]
    fn other_contents_are_what_they_are() {
        assert_eq!(
            output("application/json", b"{}", Format::Auto, 0, 500).unwrap()[0],
            "{}"
        );
        assert_eq!(
            output(
                "text/plain; charset=ISO-8859-1",
                b"\x93\xe9\x94",
                Format::Auto,
                0,
                500
            )
            .unwrap()[0],
            "“é”"
        );
        assert!(
            output("application/zip", b"PK\0\0", Format::Auto, 0, 500)
                .unwrap_err()
                .contains("4 bytes of application/zip")
        );
    }
}
