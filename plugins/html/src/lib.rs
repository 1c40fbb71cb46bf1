//! HTML: selecting elements by CSS, Markdown, tables, links, metadata. Of documents in arguments, and of files in granted
//! folders.

mod document;
mod links;
mod matching;
mod metadata;
mod select;
mod selector;
mod source;
mod tables;
mod text;
mod to_markdown;

toolhost_plugin::plugin!(
    select::html_select,
    to_markdown::html_to_markdown,
    tables::html_tables,
    links::html_links,
    metadata::html_metadata
);
