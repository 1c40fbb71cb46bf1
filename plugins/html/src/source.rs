//! The document that a tool reads.

use crate::document::Document;
use granted_files::read_bytes;
use toolhost_plugin::Error;
use url::Url;

const MAX_FILE_BYTES: u64 = 10_000_000;
/// A model reads no more at once with profit.
pub(crate) const MAX_OUTPUT_BYTES: usize = 300_000;

/// The document that is given in one of two arguments: itself, or the path of its file.
pub(crate) fn document(html: Option<String>, path: Option<&str>) -> Result<Document, Error> {
    match (html, path) {
        (Some(html), None) => Document::parse(&html),
        (None, Some(path)) => {
            let (path, bytes) = read_bytes(path, MAX_FILE_BYTES)?;
            // Few pages in other encodings are left, and their tags are the same.
            Document::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.context(path))
        }
        _ => Err(Error::invalid_arguments("give either `html` or `path`")),
    }
}

/// What relative links are relative to: the argument, and the document's own `<base>`.
pub(crate) fn base(document: &Document, argument: Option<&str>) -> Result<Option<Url>, Error> {
    let given = argument
        .map(|url| {
            Url::parse(url)
                .map_err(|error| Error::invalid_arguments(format!("base_url {url:?}: {error}")))
        })
        .transpose()?;
    let own = document
        .elements()
        .find(|element| element.is("base"))
        .and_then(|element| element.attribute("href"));
    Ok(match (given, own) {
        (Some(given), Some(own)) => given.join(&own).ok().or(Some(given)),
        (None, Some(own)) => Url::parse(&own).ok(),
        (given, None) => given,
    })
}

/// The address, absolute if that is possible.
pub(crate) fn absolute(address: &str, base: Option<&Url>) -> String {
    let address = address.trim();
    match base.map(|base| base.join(address)) {
        Some(Ok(url)) => url.into(),
        _ => address.to_owned(),
    }
}
