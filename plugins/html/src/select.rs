//! `html_select`.

use crate::document::Document;
use crate::matching::matches;
use crate::selector::{Selectors, parse};
use crate::source::{MAX_OUTPUT_BYTES, absolute, base, document};
use crate::text::text;
use html5ever::serialize::{SerializeOpts, TraversalScope, serialize};
use markup5ever_rcdom::SerializableHandle;
use std::collections::BTreeMap;
use std::rc::Rc;
use toolhost_plugin::serde_json::{self, Map, Value};
use toolhost_plugin::{Error, Json, arguments, structured, tool};
use url::Url;

const DEFAULT_LIMIT: usize = 100;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Select {
    /// The HTML document, or a part of one.
    html: Option<String>,
    /// Path of an HTML file, instead of `html`.
    path: Option<String>,
    /// CSS selector of the elements, such as "table.prices tr:not(:first-child)", "a[href^='http']", "div:has(> h2)",
    /// "p:contains('total')".
    selector: String,
    /// What to extract from each element, by name: a selector below the element for its text, "SELECTOR@ATTRIBUTE" for an
    /// attribute, "@ATTRIBUTE" for one of the element itself. Example: {"title": "h3", "url": "a@href", "id": "@data-id"}.
    /// Without it, each result has the element's name, text and attributes.
    fields: Option<BTreeMap<String, String>>,
    /// Add the HTML of each element.
    #[serde(default)]
    include_html: bool,
    /// Address of the page: makes extracted links (href, src) absolute.
    base_url: Option<String>,
    /// Maximum number of results. Default: 100.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
}

#[structured]
pub(crate) struct Selection {
    /// How many elements match.
    total: usize,
    /// For each element: its `fields`, or its `name`, `text` and `attributes`; and its `html` if that was asked for. A field
    /// that an element does not have is null.
    results: Vec<Map<String, Value>>,
    /// Why there are fewer results than elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Selects elements of an HTML document by a CSS selector, and extracts their text, attributes, HTML, or named fields.
#[tool(title = "Select from HTML", read_only, idempotent, closed_world)]
pub(crate) fn html_select(args: Select) -> Result<Json<Selection>, Error> {
    let selector = parse(&args.selector)?;
    let fields: Vec<(String, Field)> = args
        .fields
        .unwrap_or_default()
        .into_iter()
        .map(|(name, field)| match Field::parse(&field) {
            Ok(field) => Ok((name, field)),
            Err(error) => Err(error.context(format_args!("field {name:?}"))),
        })
        .collect::<Result<_, _>>()?;
    let document = document(args.html, args.path.as_deref())?;
    let base = base(&document, args.base_url.as_deref())?;
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, field)| (name, field, field.matches(&document)))
        .collect();

    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let mut selection = Selection {
        total: 0,
        results: Vec::new(),
        note: None,
    };
    let mut bytes = 0;
    let found = matches(&document, &selector);
    for index in (0..found.len()).filter(|index| found[*index]) {
        selection.total += 1;
        if selection.note.is_some() {
            continue;
        }
        if selection.results.len() == limit {
            selection.note = Some(format!("only the first {limit}: raise `limit` for more"));
            continue;
        }
        let mut result = if fields.is_empty() {
            described(&document, index, base.as_ref())
        } else {
            fields
                .iter()
                .map(|(name, field, set)| {
                    let value = field.value(&document, index, set.as_deref(), base.as_ref());
                    (String::clone(name), value.map_or(Value::Null, Value::from))
                })
                .collect()
        };
        if args.include_html {
            result.insert("html".to_owned(), outer_html(&document, index)?.into());
        }
        bytes += serde_json::to_string(&result)?.len();
        if bytes > MAX_OUTPUT_BYTES {
            selection.note = Some(format!(
                "only the first {}: more would exceed {MAX_OUTPUT_BYTES} bytes",
                selection.results.len()
            ));
            continue;
        }
        selection.results.push(result);
    }
    Ok(Json(selection))
}

/// What to extract of an element.
struct Field {
    /// `None`: the element itself.
    selectors: Option<Selectors>,
    /// `None`: the text.
    attribute: Option<String>,
}

impl Field {
    fn parse(text: &str) -> Result<Self, Error> {
        let (selector, attribute) = match text.rsplit_once('@') {
            // Not the @ of an address in a string.
            Some((selector, name)) if !name.contains(['"', '\'', ']', ')']) => {
                (selector, Some(name.trim().to_owned()))
            }
            _ => (text, None),
        };
        let selectors = match selector.trim() {
            "" => None,
            selector => Some(parse(selector)?),
        };
        Ok(Self {
            selectors,
            attribute,
        })
    }

    fn matches(&self, document: &Document) -> Option<Vec<bool>> {
        Some(matches(document, self.selectors.as_ref()?))
    }

    /// Of the first element that matches below this one.
    fn value(
        &self,
        document: &Document,
        index: usize,
        matching: Option<&[bool]>,
        base: Option<&Url>,
    ) -> Option<String> {
        let index = match matching {
            Some(set) => document.below(index).find(|index| set[*index])?,
            None => index,
        };
        let element = &document.elements[index];
        match &self.attribute {
            None => Some(text(&element.node)),
            Some(name) => {
                let value = element.attribute(name)?;
                Some(attribute_value(name, value, base))
            }
        }
    }
}

fn described(document: &Document, index: usize, base: Option<&Url>) -> Map<String, Value> {
    let element = &document.elements[index];
    let attributes = element.attributes().into_iter();
    let attributes: Map<String, Value> = attributes
        .map(|(name, value)| {
            let value = attribute_value(&name, value, base);
            (name, value.into())
        })
        .collect();
    Map::from_iter([
        ("name".to_owned(), element.name().into()),
        ("text".to_owned(), text(&element.node).into()),
        ("attributes".to_owned(), attributes.into()),
    ])
}

fn attribute_value(name: &str, value: String, base: Option<&Url>) -> String {
    match name {
        "href" | "src" | "action" => absolute(&value, base),
        _ => value,
    }
}

fn outer_html(document: &Document, index: usize) -> Result<String, Error> {
    let node = SerializableHandle::from(Rc::clone(&document.elements[index].node));
    let options = SerializeOpts {
        traversal_scope: TraversalScope::IncludeNode,
        scripting_enabled: false,
        ..SerializeOpts::default()
    };
    let mut html = Vec::new();
    serialize(&mut html, &node, options)?;
    Ok(String::from_utf8_lossy(&html).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Select, html_select};
    use toolhost_plugin::serde_json::{self, Value, json};

    fn selected(html: &str, mut args: Value) -> Value {
        args["html"] = html.into();
        let args: Select = serde_json::from_value(args).unwrap();
        serde_json::to_value(html_select(args).unwrap().0).unwrap()
    }

    const PAGE: &str = "<ul><li id=1 class='a b'>x <b>y</b><a href='/p?q=1'>l</a>\
        <li id=2 class=b><script>no</script><p>z<p>w</ul>";

    #[test]
    fn elements_are_described_or_their_fields_extracted() {
        assert_eq!(
            selected(PAGE, json!({ "selector": "li" })),
            json!({ "total": 2, "results": [
                { "name": "li", "text": "x yl", "attributes": { "id": "1", "class": "a b" } },
                { "name": "li", "text": "z\nw", "attributes": { "id": "2", "class": "b" } },
            ]})
        );
        let fields = json!({ "id": "@id", "url": "a@href", "last": "p:last-child", "all": "" });
        let args = json!({ "selector": "li", "fields": fields, "base_url": "https://a.org/x/" });
        assert_eq!(
            selected(PAGE, args)["results"],
            json!([
                { "all": "x yl", "id": "1", "last": null, "url": "https://a.org/p?q=1" },
                { "all": "z\nw", "id": "2", "last": "w", "url": null },
            ])
        );
        let html = selected(PAGE, json!({ "selector": "b", "include_html": true }));
        assert_eq!(html["results"][0]["html"], "<b>y</b>");
        let cut = selected(PAGE, json!({ "selector": "*", "limit": 1 }));
        assert_eq!(
            (&cut["total"], &cut["results"][0]["name"]),
            (&json!(11), &json!("html"))
        );
        assert_eq!(cut["note"], "only the first 1: raise `limit` for more");
    }

    #[test]
    fn selectors_select_what_css_says() {
        let html = "<div id=d><p id=p1 class=x lang=en-US>a</p><p id=p2>b<i id=i></i></p><!--c--><span id=s data-V=Qu>t</span>\
            <p id=p3 class='x Y'></p></div><div id='e:1'><em id=m></em></div>";
        let ids = |selector: &str| {
            let found = selected(
                html,
                json!({ "selector": selector, "fields": { "id": "@id" } }),
            );
            let results = found["results"].as_array().unwrap().clone();
            let ids = results.iter().filter_map(|result| result["id"].as_str());
            ids.collect::<Vec<_>>().join(" ")
        };
        for (selector, expected) in [
            ("p", "p1 p2 p3"),
            ("P.x", "p1 p3"),
            ("#d > p + p", "p2"),
            ("#p1 ~ *", "p2 s p3"),
            ("div i, em", "i m"),
            ("p:nth-child(2n+1)", "p1"),
            ("p:nth-of-type(odd)", "p1 p3"),
            ("p:nth-of-type( -n + 2 )", "p1 p2"),
            ("p:last-of-type, i:only-child", "i p3"),
            ("p:nth-last-child(1)", "p3"),
            ("p:empty", "p3"),
            ("p:not(.x, #p2)", ""),
            (":is(span, em)", "s m"),
            ("div:has(> em)", "e:1"),
            ("div:has(p i)", "d"),
            // The comment between them does not count.
            ("p:has(+ span)", "p2"),
            ("p:has(~ span):has(i)", "p2"),
            (r"#e\:1", "e:1"),
            (r"#\65 \3a 1", "e:1"),
            ("[data-v='qu' i]", "s"),
            ("[data-v=qu]", ""),
            ("[lang|=en]", "p1"),
            ("[class~=Y]", "p3"),
            ("[id^=p][id$='3']", "p3"),
            ("[id*='']", ""),
            ("p:contains('b')", "p2"),
            ("body *:root", ""),
        ] {
            assert_eq!(ids(selector), expected, "{selector}");
        }
    }
}
