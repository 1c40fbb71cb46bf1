//! `html`: compared with BeautifulSoup and soupsieve on html5lib's tree, with pandas, and with markdown-it.

use std::fs;

use serde_json::{Value, json};
use toolhost::permissions::{Access, FileGrant};
use toolhost::{ToolHost, ToolResult};
use toolhost_testing::needs;

use super::reference::reference;
use super::{assert_error, structured, texts};
use crate::common::{self, call, load, manifest, plugin, text};

const PAGE: &str = r##"<!doctype html>
<html lang="en"><head><title> Shop &amp; <b>more</b> </title>
<meta charset=utf-8><meta name=Description content="All prices"><meta property="og:title" content="Shop">
<meta property="og:image" content="/a.png"><meta property="og:image" content="/b.png"><meta name=empty content="">
<link rel="Canonical" href="/shop?x=1"><link rel="alternate" type="application/rss+xml" title="News" href="feed.xml">
<link rel="alternate stylesheet" href="dark.css">
<script type="application/ld+json">{"@type": "Shop", "n": 1}</script>
<script type="application/ld+json">{broken</script>
<style>p > a { color: red }</style></head>
<body class="home page"><h1>Prices</h1><nav><a href="/">Home</a> <a href="#top" class=x>Top<img src=t.png alt=T></a></nav>
<div id=list data-n=2><p class="item first">One <em>two</em><p class="item">Three<ul><li>a<li class=x>b<li>c<li></ul>
<p class=item lang=en-GB>Four &lt;5&gt;</div>
<form><input type=checkbox name="a[]" checked><select><option value=1>uno<option>due</select></form>
<table id=t><caption>Sums</caption><thead><tr><th>name<th>sum</thead><tr><td>a<td>1<tr><td>b<td>2</table>
<b>unclosed <i>nested</b> mis</i> <a href="https://b.org/é?a=b&amp;c=d"> far </a><a>no link</a><a href="mailto:x@y.z"></a>
<svg viewBox="0 0 1 1"><title>picture</title><linearGradient id=lg /></svg><!-- <p class=item>comment -->
</body></html>"##;

const SELECTORS: [&str; 48] = [
    "p",
    "*",
    "P.item",
    ".item.first",
    "#list",
    "#list > p",
    "#list p",
    "p + p",
    "p ~ ul",
    "ul > li:first-child",
    "li:last-child",
    "li:nth-child(odd)",
    "li:nth-child(2n)",
    "li:nth-child(-n+2)",
    "li:nth-last-child(2)",
    "p:nth-of-type(2)",
    "p:first-of-type",
    "p:last-of-type",
    "li:only-child",
    "em:only-child",
    "li:empty",
    "li:not(.x)",
    "li:not(:first-child, .x)",
    ":is(em, b) , i",
    "body > :where(div, form)",
    "div:has(> ul)",
    "p:has(em)",
    "p:has(+ ul)",
    "p:has(~ ul)",
    "nav:has(a.x) a",
    "[href]",
    "a[href^='http']",
    "a[href$='#top']",
    "a[href*=b]",
    "[class~=first]",
    "[lang|=en]",
    "[data-n='2']",
    "[name='a[]']",
    "input[type=CHECKBOX i]",
    "option:nth-last-of-type(1)",
    "html:root",
    "tbody tr td:nth-child(2)",
    "table caption",
    "body *:not(p):not(li):not(a)",
    ".home .x",
    "a:not([href])",
    "linearGradient",
    "p:not(:has(em)) ~ p",
];

async fn answer(tool: &str, arguments: Value) -> ToolResult {
    host().await.call(call(tool, arguments)).await
}

async fn host() -> ToolHost {
    common::host(&["html"]).await
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

#[tokio::test]
async fn selectors_select_what_soupsieve_does() {
    needs!(mcp_peers);
    let host = host().await;
    let expected = reference("selected", &[json!([PAGE, &SELECTORS[..]])]).remove(0);
    for (selector, expected) in SELECTORS.iter().zip(expected.as_array().unwrap()) {
        let select = json!({ "html": PAGE, "selector": selector, "limit": 1000 });
        let answer = structured(&host.call(call("html_select", select)).await);
        let found: Vec<Value> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| {
                let text = without_space(result["text"].as_str().unwrap());
                json!([result["name"], text, result["attributes"]])
            })
            .collect();
        assert_eq!(&json!(found), expected, "{selector}");
        assert_eq!(answer["total"], found.len());
    }
}

#[tokio::test]
async fn fields_make_a_record_of_each_element() {
    let items = "<div class=item data-id=7><h3>Tea &amp; cake</h3><a href=/tea>more</a><p>1<p>2</div><div class=item></div>";
    let select = json!({
        "html": items, "selector": ".item", "base_url": "https://shop.org/a/",
        "fields": { "id": "@data-id", "title": "h3", "url": "a@href", "second": "p:nth-of-type(2)", "all": "" },
        "include_html": true,
    });
    let answer = structured(&answer("html_select", select).await);
    let results = json!([
        { "id": "7", "title": "Tea & cake", "url": "https://shop.org/tea", "second": "2", "all": "Tea & cake\nmore\n1\n2",
          "html": "<div class=\"item\" data-id=\"7\"><h3>Tea &amp; cake</h3><a href=\"/tea\">more</a><p>1</p><p>2</p></div>" },
        { "id": null, "title": null, "url": null, "second": null, "all": "", "html": "<div class=\"item\"></div>" },
    ]);
    assert_eq!(answer, json!({ "total": 2, "results": results }));
}

#[tokio::test]
async fn tables_are_those_of_pandas() {
    needs!(mcp_peers);
    let documents = [
        "<table><tr><td>a<td>b<tr><td>c<td>d</table>",
        "<table><tr><td rowspan=2>a<td>b<tr><td>c<tr><td colspan=2>d</table>",
        "<table><tr><td colspan=2>a<td rowspan=3>b<tr><td rowspan=2>c<td>d<tr><td>e</table>",
        "<table><tbody><tr><td>a b\n c<td>x</tbody><tbody><tr><td>e<td>f</tbody></table><table><tr><td>1<td>2</table>",
        "<table><tr><td rowspan=2 colspan=2>big<td>1<tr><td>2<tr><td>3<td>4<td>5</table>",
    ]
    .map(Value::from);
    for (html, expected) in documents.iter().zip(reference("tables", &documents)) {
        let answer = structured(&answer("html_tables", json!({ "html": html })).await);
        let rows: Vec<&Value> = answer["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| &table["rows"])
            .collect();
        assert_eq!(json!(rows), expected, "{html}");
    }
}

#[tokio::test]
async fn a_table_has_caption_header_and_rows() {
    let tables = structured(&answer("html_tables", json!({ "html": PAGE })).await);
    let table =
        json!({ "caption": "Sums", "header": [["name", "sum"]], "rows": [["a", "1"], ["b", "2"]] });
    assert_eq!(tables, json!({ "tables": [table] }));
    let html = "<table id=o><tr><th>h<tr><td>x<table id=i><tr><td>in</table><tr><td>z</table>";
    let limited = json!({ "html": html, "selector": "#o", "limit": 1 });
    let tables = structured(&answer("html_tables", limited).await);
    let table = json!({ "header": [["h"]], "rows": [["x\nin"]], "total_rows": 2 });
    assert_eq!(tables, json!({ "tables": [table] }));
    let bomb = "<table>".to_owned() + &"<tr><td rowspan=65534 colspan=1000>x".repeat(1000);
    let result = answer("html_tables", json!({ "html": bomb })).await;
    assert_error(&result, "failed", "more than 200000 cells");
}

#[tokio::test]
async fn markdown_renders_to_what_the_page_was() {
    needs!(mcp_peers);
    let host = host().await;
    let documents = [
        "<h1>Title</h1>\n<p>A <em>b</em> <strong>c</strong> <code>d</code> <a href=\"https://e.org/f\">g</a>.</p>\n",
        "<h2>L</h2>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n<ol>\n<li>x</li>\n<li>y</li>\n</ol>\n",
        "<blockquote>\n<p>quoted</p>\n</blockquote>\n<hr />\n<pre><code>if a &lt; b {\n    c\n}\n</code></pre>\n",
        "<p>1 * 2 * 3 and _x_ and [y](z) and # and `</p>\n",
        "<p>first<br />\nsecond</p>\n",
        "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>\n",
        "<p><img src=\"https://e.org/p.png\" alt=\"P\" /></p>\n",
    ];
    let mut ours = Vec::new();
    for html in documents {
        let result = host
            .call(call("html_to_markdown", json!({ "html": html })))
            .await;
        ours.push(Value::from(text(&result)));
    }
    for ((html, markdown), rendered) in documents
        .iter()
        .zip(&ours)
        .zip(reference("rendered", &ours))
    {
        assert_eq!(rendered, *html, "{markdown}");
    }
}

#[tokio::test]
async fn a_part_of_a_page_becomes_markdown() {
    let convert = async |arguments: Value| answer("html_to_markdown", arguments).await;
    let part =
        json!({ "html": PAGE, "selector": "nav, nav a, #t", "base_url": "https://shop.org/p" });
    let markdown = text(&convert(part).await);
    assert!(markdown.starts_with("[Home](https://shop.org/) [Top![T](https://shop.org/t.png)](https://shop.org/p#top)\n\n"), "{markdown}");
    assert_eq!(markdown.matches("Home").count(), 1);
    let plain = json!({ "html": PAGE, "selector": "nav", "without_links": true });
    assert_eq!(text(&convert(plain).await), "Home Top");
    let result = convert(json!({ "html": PAGE, "selector": "article" })).await;
    assert_error(&result, "invalid-arguments", "no element matches");
    assert_eq!(
        text(&convert(json!({ "html": "<script>x</script>" })).await),
        "The document has no text."
    );
    let long = format!("<p>{}</p><p>end</p>", "é".repeat(200_000));
    let result = convert(json!({ "html": long })).await;
    assert_eq!(texts(&result)[0].len(), 300_000);
    assert!(
        texts(&result)[1].starts_with("Only the first 300000 of"),
        "{}",
        texts(&result)[1]
    );
}

#[tokio::test]
async fn links_and_metadata_are_those_of_beautiful_soup() {
    needs!(mcp_peers);
    let expected = reference("links", &[PAGE.into()]).remove(0);
    let answered = structured(&answer("html_links", json!({ "html": PAGE })).await);
    let links: Vec<Value> = answered["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| json!([link["text"], link["url"]]))
        .collect();
    assert_eq!(json!(links), expected);
    let absolute =
        json!({ "html": PAGE, "base_url": "https://shop.org/x/", "selector": "nav", "limit": 1 });
    let answered = structured(&answer("html_links", absolute).await);
    let home = json!({ "text": "Home", "url": "https://shop.org/" });
    assert_eq!(answered, json!({ "total": 2, "links": [home] }));

    let expected = reference("metadata", &[PAGE.into()]).remove(0);
    let about = json!({ "html": PAGE, "base_url": "https://shop.org/x/" });
    let answered = structured(&answer("html_metadata", about).await);
    for key in ["title", "language", "meta"] {
        assert_eq!(answered[key], expected[key], "{key}");
    }
    let headings: Vec<Value> = answered["headings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|heading| json!([heading["level"], heading["text"]]))
        .collect();
    assert_eq!(json!(headings), expected["headings"]);
    assert_eq!(answered["canonical"], "https://shop.org/shop?x=1");
    let feed = json!({ "url": "https://shop.org/x/feed.xml", "type": "application/rss+xml", "title": "News" });
    assert_eq!(answered["alternates"], json!([feed]));
    assert_eq!(answered["json_ld"], json!([{ "@type": "Shop", "n": 1 }]));
}

#[tokio::test]
async fn pages_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.html"), PAGE).unwrap();
    fs::write(folder.path().join("large.html"), "x".repeat(10_000_001)).unwrap();
    let paragraphs = "<p>é</p>".repeat(1_000_000);
    fs::write(folder.path().join("many.html"), &paragraphs).unwrap();
    let text = format!("<pre>{}</pre><b>end</b>", "words and more ".repeat(600_000));
    fs::write(folder.path().join("text.html"), text).unwrap();
    let mut plugin = plugin("html");
    plugin.permissions.files =
        vec![FileGrant::new(folder.path(), "/p").with_access(Access::ReadOnly)];
    let host = load(manifest([plugin])).await;
    let select = async |path: &str, selector: &str| {
        let arguments = json!({ "path": path, "selector": selector });
        host.call(call("html_select", arguments)).await
    };
    assert_eq!(
        structured(&select("p.html", "h1").await)["results"][0]["text"],
        "Prices"
    );
    assert_eq!(
        structured(&select("text.html", "b").await)["results"][0]["text"],
        "end"
    );
    assert_error(
        &select("large.html", "h1").await,
        "failed",
        "at most 10000000",
    );
    assert_error(
        &select("many.html", "h1").await,
        "failed",
        "more than 150000 elements",
    );
    assert_error(
        &select("../x", "h1").await,
        "denied",
        "outside of the granted folders",
    );
    let both = json!({ "path": "p.html", "html": "", "selector": "p" });
    let result = host.call(call("html_select", both)).await;
    assert_error(&result, "invalid-arguments", "either `html` or `path`");
}

#[tokio::test]
async fn documents_without_end_are_refused_by_every_tool() {
    let host = host().await;
    let bombs = [
        "<div>".repeat(100_000),
        "<table>".to_owned() + &"<b>".repeat(100_000),
        (0..50_000)
            .map(|number| format!("<p><i id={number}>"))
            .collect(),
        "<a><svg><desc>".repeat(30_000),
        "<select><option>".repeat(30_000) + &"<div>".repeat(1000),
        "<template>".repeat(10_000),
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        for tool in [
            "html_select",
            "html_to_markdown",
            "html_tables",
            "html_links",
            "html_metadata",
        ] {
            let mut arguments = json!({ "html": bomb });
            if tool == "html_select" {
                arguments["selector"] = json!("div div div div div div a");
            }
            let result = host.call(call(tool, arguments)).await;
            // Flat ones are answered.
            if let Err(error) = &result.outcome {
                assert_eq!(error.code(), "failed", "{number} {tool}: {error}");
                assert!(
                    error.to_string().contains("the HTML "),
                    "{number} {tool}: {error}"
                );
            }
        }
    }
    let deep = "<div>".repeat(280) + "x";
    let all = "div ".repeat(200);
    let hard = json!({ "html": deep, "selector": all.trim() });
    let answer = structured(&host.call(call("html_select", hard)).await);
    assert_eq!(answer["total"], 81);
    for (selector, why) in [
        ("p:hover", "pseudo-class :hover is not supported"),
        ("a >", "column 4"),
        (&":not(".repeat(1000), "longer than"),
    ] {
        let result = host
            .call(call(
                "html_select",
                json!({ "html": "", "selector": selector }),
            ))
            .await;
        assert_error(&result, "invalid-arguments", why);
    }
}
