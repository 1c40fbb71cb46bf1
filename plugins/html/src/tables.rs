//! `html_tables`: tables as rows, with cells that span several rows and columns.

use crate::document::Document;
use crate::matching::matches;
use crate::selector::parse;
use crate::source::{MAX_OUTPUT_BYTES, document};
use crate::text::text;
use std::collections::BTreeMap;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

const DEFAULT_LIMIT: usize = 500;
/// As in the HTML standard.
const MAX_COLUMN_SPAN: usize = 1000;
const MAX_ROW_SPAN: usize = 65_534;
/// Cells that span others are repeated: a small document can have a very large table.
const MAX_CELLS: usize = 200_000;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct TablesArguments {
    /// The HTML document, or a part of one.
    html: Option<String>,
    /// Path of an HTML file, instead of `html`.
    path: Option<String>,
    /// CSS selector of the tables. Default: all tables.
    selector: Option<String>,
    /// Maximum number of rows of each table. Default: 500.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
}

#[structured]
pub(crate) struct Tables {
    /// The tables, in the order of the document; a table in a cell of another one follows it.
    tables: Vec<Table>,
    /// Why tables or rows are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[structured]
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Its caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    /// The rows of the head: those in <thead>, or else the first ones with only <th> cells.
    header: Vec<Vec<String>>,
    /// The other rows. A cell that spans several rows or columns is repeated in each.
    rows: Vec<Vec<String>>,
    /// How many rows there are without the header, if not all are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_rows: Option<usize>,
}

/// Reads the tables of an HTML document as rows of text.
#[tool(title = "Tables of HTML", read_only, idempotent, closed_world)]
pub(crate) fn html_tables(args: TablesArguments) -> Result<Json<Tables>, Error> {
    let selector = args.selector.as_deref().map(parse).transpose()?;
    let document = document(args.html, args.path.as_deref())?;
    let found = selector.map(|selector| matches(&document, &selector));
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let (mut tables, mut note, mut bytes, mut cells) = (Vec::new(), None, 0, MAX_CELLS);
    for (index, element) in document.elements.iter().enumerate() {
        if !element.is("table") || found.as_ref().is_some_and(|found| !found[index]) {
            continue;
        }
        let table = read(&document, index, limit, &mut cells)?;
        bytes += toolhost_plugin::serde_json::to_string(&table)?.len();
        if bytes > MAX_OUTPUT_BYTES {
            note = Some(format!(
                "only the first {} tables: more would exceed {MAX_OUTPUT_BYTES} bytes; use `selector` or `limit`",
                tables.len()
            ));
            break;
        }
        tables.push(table);
    }
    Ok(Json(Tables { tables, note }))
}

/// A row of the source, before spans are laid out.
struct Row {
    element: usize,
    section: Section,
    /// Whether another section begins after it, so that no cell spans beyond it.
    is_last_of_section: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Head,
    Body,
    Foot,
}

/// A cell that also belongs to rows below.
#[derive(Clone)]
struct Spanning {
    text: String,
    is_header: bool,
    rows_left: usize,
}

fn read(
    document: &Document,
    table: usize,
    limit: usize,
    cells: &mut usize,
) -> Result<Table, Error> {
    let mut output = Table {
        caption: children(document, table, &["caption"])
            .next()
            .map(|caption| text(&document.elements[caption].node)),
        ..Table::default()
    };
    let rows = rows(document, table);
    let has_head = rows.iter().any(|row| row.section == Section::Head);
    let (mut spanning, mut total): (BTreeMap<usize, Spanning>, usize) = (BTreeMap::new(), 0);
    for row in rows {
        let (texts, is_all_headers) = read_row(document, row.element, &mut spanning, cells)?;
        if row.is_last_of_section {
            spanning.clear();
        }
        if texts.is_empty() {
            continue;
        }
        let is_header = row.section == Section::Head
            || !has_head && total == 0 && is_all_headers && row.section == Section::Body;
        if is_header {
            output.header.push(texts);
        } else {
            total += 1;
            if total <= limit {
                output.rows.push(texts);
            }
        }
    }
    output.total_rows = (total > output.rows.len()).then_some(total);
    Ok(output)
}

/// The rows of a table and not of tables in it: head, bodies, and the foot, which comes last wherever it is written.
fn rows(document: &Document, table: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for part in children(document, table, &["thead", "tbody", "tfoot", "tr"]) {
        let section = match document.elements[part].name() {
            "thead" => Section::Head,
            "tfoot" => Section::Foot,
            _ => Section::Body,
        };
        let first = rows.len();
        let row = |element| Row {
            element,
            section,
            is_last_of_section: false,
        };
        if document.elements[part].is("tr") {
            rows.push(row(part));
        } else {
            rows.extend(children(document, part, &["tr"]).map(row));
        }
        if rows.len() > first
            && let Some(last) = rows.last_mut()
        {
            last.is_last_of_section = !document.elements[part].is("tr");
        }
    }
    rows.sort_by_key(|row| row.section == Section::Foot);
    rows
}

/// The children of an element with one of these names.
fn children<'d>(
    document: &'d Document,
    parent: usize,
    names: &'d [&'d str],
) -> impl Iterator<Item = usize> + 'd {
    document.below(parent).filter(move |index| {
        let element = &document.elements[*index];
        element.parent == Some(parent) && names.contains(&element.name())
    })
}

/// The texts of a row, and whether all of its cells are headers.
fn read_row(
    document: &Document,
    row: usize,
    spanning: &mut BTreeMap<usize, Spanning>,
    cells: &mut usize,
) -> Result<(Vec<String>, bool), Error> {
    let mut texts = Vec::new();
    let mut is_all_headers = true;
    let mut from_above = std::mem::take(spanning);
    let mut put = |texts: &mut Vec<String>, cell: Spanning, spanning: &mut BTreeMap<_, _>| {
        *cells = cells
            .checked_sub(1)
            .ok_or_else(|| Error::failed(format!("the tables have more than {MAX_CELLS} cells")))?;
        is_all_headers &= cell.is_header;
        if cell.rows_left > 0 {
            let rows_left = cell.rows_left - 1;
            spanning.insert(
                texts.len(),
                Spanning {
                    rows_left,
                    ..cell.clone()
                },
            );
        }
        texts.push(cell.text);
        Ok::<(), Error>(())
    };
    for index in children(document, row, &["td", "th"]) {
        while let Some(cell) = from_above.remove(&texts.len()) {
            put(&mut texts, cell, spanning)?;
        }
        let element = &document.elements[index];
        let span = |name, max| {
            let value = element.attribute(name);
            value
                .and_then(|value| value.trim().parse::<usize>().ok())
                .map(|span| span.min(max))
        };
        let cell = Spanning {
            text: text(&element.node),
            is_header: element.is("th"),
            rows_left: match span("rowspan", MAX_ROW_SPAN) {
                // To the end of the section.
                Some(0) => usize::MAX,
                Some(rows) => rows - 1,
                None => 0,
            },
        };
        for _ in 0..span("colspan", MAX_COLUMN_SPAN).unwrap_or(1).max(1) {
            // Where a cell from above is in the way, it stays.
            if let Some(above) = from_above.remove(&texts.len()) {
                put(&mut texts, above, spanning)?;
            }
            put(&mut texts, cell.clone(), spanning)?;
        }
    }
    while let Some((column, cell)) = from_above.pop_first() {
        while texts.len() < column {
            texts.push(String::new());
        }
        put(&mut texts, cell, spanning)?;
    }
    Ok((texts, is_all_headers))
}

#[cfg(test)]
mod tests {
    use super::{Document, MAX_CELLS, read};

    fn table(html: &str, number: usize) -> super::Table {
        let document = Document::parse(html).unwrap();
        let mut tables =
            (0..document.elements.len()).filter(|at| document.elements[*at].is("table"));
        let index = tables.nth(number).unwrap();
        read(&document, index, 100, &mut MAX_CELLS.clone()).unwrap()
    }

    fn written(rows: &[Vec<String>]) -> String {
        rows.iter()
            .map(|row| row.join("|"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn cells_that_span_are_repeated() {
        let html = "<table><caption> c </caption><tfoot><tr><td>f</tfoot>\
            <tr><th>a<th colspan=2>b<tr><td rowspan=2>1<td>2<td rowspan=0>3<tr><td>4<tr><td>5<td>6</table>";
        let table = table(html, 0);
        assert_eq!(table.caption.as_deref(), Some("c"));
        assert_eq!(written(&table.header), "a|b|b");
        assert_eq!(written(&table.rows), "1|2|3\n1|4|3\n5|6|3\nf");
    }

    #[test]
    fn a_table_in_a_table_is_one_of_its_own() {
        let html = "<table><tr><td>a<table><tr><td>in</table><td>b<tr><td>c</table>";
        assert_eq!(written(&table(html, 0).rows), "a\nin|b\nc");
        assert_eq!(written(&table(html, 1).rows), "in");
    }

    #[test]
    fn spans_without_end_are_refused() {
        let html = format!(
            "<table>{}",
            "<tr><td rowspan=65534 colspan=1000>x".repeat(1000)
        );
        let document = Document::parse(&html).unwrap();
        let at = (0..document.elements.len()).find(|at| document.elements[*at].is("table"));
        let error = read(&document, at.unwrap(), 100, &mut MAX_CELLS.clone()).unwrap_err();
        assert!(error.message().contains("more than"), "{error}");
    }
}
