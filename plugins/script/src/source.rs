//! From the text of a model to a program: without Markdown fences and types, and with a value.
//!
//! Nothing changes its place, so that errors name lines and columns of the model's own text: types become spaces. The
//! program becomes the body of an async function, whose first line is before it, and `return (` goes onto a line of its
//! own; [`Program::place`] takes both into account.

use std::fmt;

use oxc_allocator::Allocator;
use oxc_ast::ast::{Program as Tree, Statement};
use oxc_parser::{ParseOptions, Parser, ParserReturn};
use oxc_span::{GetSpan, SourceType, Span};
use program::{shown, without_fences};

use crate::erase::{self, Erased};

/// A program that QuickJS can run.
pub(crate) struct Program {
    pub(crate) text: String,
    /// The lines of the model's text that are before the program.
    before: usize,
    /// The line of `text` after which it has one line more.
    returns_at: Option<usize>,
    source: String,
}

/// What is wrong with a program, and where.
pub(crate) struct SourceError {
    message: String,
    line: usize,
    column: usize,
    text: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            line,
            column,
            text,
        } = self;
        write!(f, "SyntaxError: {message} (line {line}, column {column})")?;
        if !text.is_empty() {
            write!(f, "\n{line:>5} | {text}")?;
        }
        Ok(())
    }
}

impl Program {
    /// A place in `text` as a line and a column of the model's text.
    pub(crate) fn place(&self, line: usize, column: usize) -> (usize, usize) {
        let more = match self.returns_at {
            Some(at) if line > at => 2,
            _ => 1,
        };
        ((line + self.before).saturating_sub(more).max(1), column)
    }

    /// A line of the model's text.
    pub(crate) fn line(&self, line: usize) -> &str {
        shown(self.source.lines().nth(line - 1).unwrap_or_default())
    }
}

/// # Errors
///
/// It is no program.
pub(crate) fn prepare(source: &str) -> Result<Program, SourceError> {
    let (code, before) = without_fences(source);
    let allocator = Allocator::default();
    let parsed = parse(&allocator, code, SourceType::mjs());
    let is_javascript = parsed.diagnostics.is_empty() && !parsed.panicked;
    let parsed = match is_javascript {
        true => parsed,
        false => parse(&allocator, code, SourceType::ts()),
    };
    let failed = |message: String, offset: usize| {
        let (line, column) = place_of(code, offset);
        SourceError {
            message,
            line: line + before,
            column,
            text: shown(code.lines().nth(line - 1).unwrap_or_default()).to_owned(),
        }
    };
    if let Some(first) = parsed.diagnostics.iter().next() {
        let offset = first.labels.iter().next().map_or(0, |label| label.offset());
        return Err(failed(first.message.to_string(), offset as usize));
    }
    let tree = &parsed.program;
    if let Some((what, span)) = module_item(tree) {
        let message = format!("{what} is not available: tools are functions of `tools`");
        return Err(failed(message, span.start as usize));
    }
    let mut text = code.as_bytes().to_vec();
    if !is_javascript {
        let Erased { error, .. } = erase::types(tree, &mut text);
        if let Some((message, at)) = error {
            return Err(failed(message, at as usize));
        }
    }
    // What was erased is whole: a type begins and ends with ASCII.
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(wrapped(&text, value_of(tree), (source, before)))
}

fn parse<'a>(allocator: &'a Allocator, code: &'a str, kind: SourceType) -> ParserReturn<'a> {
    let options = ParseOptions {
        allow_return_outside_function: true,
        ..ParseOptions::default()
    };
    Parser::new(allocator, code, kind)
        .with_options(options)
        .parse()
}

/// A part of a module, which a program is not.
fn module_item(tree: &Tree<'_>) -> Option<(&'static str, Span)> {
    tree.body.iter().find_map(|statement| match statement {
        Statement::ImportDeclaration(it) if !it.import_kind.is_type() => {
            Some(("`import`", it.span))
        }
        Statement::ExportNamedDeclaration(it) if !it.export_kind.is_type() => {
            Some(("`export`", it.span))
        }
        Statement::ExportAllDeclaration(it) => Some(("`export`", it.span)),
        Statement::ExportDefaultDeclaration(it) => Some(("`export`", it.span)),
        _ => None,
    })
}

/// The last expression of a program: where its statement begins and it ends.
fn value_of(tree: &Tree<'_>) -> Option<(usize, usize)> {
    let last = tree.body.iter().rev();
    let mut last = last.skip_while(|it| matches!(it, Statement::EmptyStatement(_)));
    match (last.next(), tree.directives.last()) {
        (Some(Statement::ExpressionStatement(it)), _) => {
            Some((it.span.start as usize, it.expression.span().end as usize))
        }
        // A program of one string.
        (None, Some(it)) => Some((it.span.start as usize, it.expression.span.end as usize)),
        _ => None,
    }
}

/// The program as a function.
fn wrapped(code: &str, value: Option<(usize, usize)>, (source, before): (&str, usize)) -> Program {
    let mut text = "(async () => {\n".to_owned();
    let mut returns_at = None;
    match value {
        None => text += code,
        Some((start, end)) => {
            let (line, column) = place_of(code, start);
            text += &code[..start];
            text += "return (\n";
            // The expression stays in its column.
            text.extend(std::iter::repeat_n(' ', column - 1));
            text += &code[start..end];
            text += "\n)";
            text += &code[end..];
            returns_at = Some(line + 1);
        }
    }
    text += "\n})";
    Program {
        text,
        before,
        returns_at,
        source: source.to_owned(),
    }
}

/// An offset as line and column, which count from 1.
fn place_of(code: &str, offset: usize) -> (usize, usize) {
    let offset = code.floor_char_boundary(offset);
    let (mut line, mut begin) = (1, 0);
    for (at, _) in code[..offset].match_indices('\n') {
        line += 1;
        begin = at + 1;
    }
    (line, code[begin..offset].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        match prepare(source) {
            Ok(program) => program.text,
            Err(error) => panic!("{error}"),
        }
    }

    fn error(source: &str) -> String {
        match prepare(source) {
            Ok(program) => panic!("{}", program.text),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_last_expression_is_the_value() {
        assert_eq!(text("1 + 2;"), "(async () => {\nreturn (\n1 + 2\n);\n})");
        assert_eq!(
            text("'use it'"),
            "(async () => {\nreturn (\n'use it'\n)\n})"
        );
        assert_eq!(text("return 1"), "(async () => {\nreturn 1\n})");
        assert_eq!(
            text("let a = 1;\n  a; // so\n;"),
            "(async () => {\nlet a = 1;\n  return (\n  a\n); // so\n;\n})"
        );
        assert_eq!(text(""), "(async () => {\n\n})");
    }

    #[test]
    fn fences_are_no_code() {
        assert_eq!(
            text("```js\nreturn 1\n```\n"),
            "(async () => {\nreturn 1\n\n})"
        );
        let program = prepare("\n```ts\nlet a: number = 1;\na.b.c\n```")
            .ok()
            .unwrap();
        // In the text: `(async`, `let`, `return (`, `a.b.c`.
        assert_eq!(program.place(4, 3), (4, 3));
        assert_eq!(program.line(4), "a.b.c");
        assert_eq!(program.place(2, 1), (3, 1));
    }

    #[test]
    fn errors_have_a_place() {
        let message = error("let a = 1;\nlet b = = 2;");
        assert!(
            message.ends_with("(line 2, column 9)\n    2 | let b = = 2;"),
            "{message}"
        );
        let message = error("import fs from 'fs';\nfs");
        assert!(message.contains("`import` is not available"), "{message}");
        let message = error("enum A { B }");
        assert!(message.contains("enum"), "{message}");
    }
}
