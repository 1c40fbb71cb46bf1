//! Types become spaces. What TypeScript has beyond types (enums, namespaces, parameter properties) is an error.

use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

/// What was found while types were erased.
#[derive(Default)]
pub(crate) struct Erased {
    /// What cannot be erased, and where it begins.
    pub(crate) error: Option<(String, u32)>,
}

/// Erases the types of a program in its text.
pub(crate) fn types(tree: &Program<'_>, text: &mut [u8]) -> Erased {
    let mut eraser = Eraser {
        text,
        erased: Erased::default(),
    };
    eraser.visit_program(tree);
    eraser.erased
}

struct Eraser<'t> {
    text: &'t mut [u8],
    erased: Erased,
}

impl Eraser<'_> {
    /// Line ends stay.
    fn blank(&mut self, start: u32, end: u32) {
        for byte in &mut self.text[start as usize..end as usize] {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    /// A statement becomes an empty one.
    fn blank_statement(&mut self, span: Span) {
        self.blank(span.start, span.end);
        self.text[span.start as usize] = b';';
    }

    fn refuse(&mut self, what: &str, span: Span) {
        self.erased.error.get_or_insert_with(|| {
            let message = format!("{what} is not supported: use JavaScript, with types at most");
            (message, span.start)
        });
    }

    /// Blanks a mark such as `?` that is the last before `end`.
    fn blank_mark(&mut self, mark: u8, start: u32, end: u32) {
        let before = &self.text[start as usize..end as usize];
        if let Some(at) = before.iter().rposition(|byte| *byte == mark) {
            self.text[start as usize + at] = b' ';
        }
    }

    /// Blanks words that only TypeScript knows, before the name of a member.
    fn blank_modifiers(&mut self, start: u32, end: u32) {
        const WORDS: [&str; 7] = [
            "public",
            "private",
            "protected",
            "readonly",
            "override",
            "abstract",
            "declare",
        ];
        let before = &self.text[start as usize..end as usize];
        let Ok(before) = std::str::from_utf8(before) else {
            return;
        };
        let mut found = Vec::new();
        for word in before.split(|letter: char| !letter.is_alphanumeric()) {
            if WORDS.contains(&word) {
                let at = word.as_ptr() as usize - before.as_ptr() as usize;
                found.push((start + at as u32, word.len() as u32));
            }
        }
        for (at, length) in found {
            self.blank(at, at + length);
        }
    }
}

impl<'a> Visit<'a> for Eraser<'_> {
    fn visit_ts_type_annotation(&mut self, it: &TSTypeAnnotation<'a>) {
        self.blank(it.span.start, it.span.end);
    }

    fn visit_ts_type_parameter_declaration(&mut self, it: &TSTypeParameterDeclaration<'a>) {
        self.blank(it.span.start, it.span.end);
    }

    fn visit_ts_type_parameter_instantiation(&mut self, it: &TSTypeParameterInstantiation<'a>) {
        self.blank(it.span.start, it.span.end);
    }

    fn visit_ts_this_parameter(&mut self, it: &TSThisParameter<'a>) {
        self.blank(it.span.start, it.span.end);
        // The comma after it.
        let rest = &self.text[it.span.end as usize..];
        if let Some(at) = rest.iter().position(|byte| !byte.is_ascii_whitespace())
            && rest[at] == b','
        {
            self.text[it.span.end as usize + at] = b' ';
        }
    }

    fn visit_ts_as_expression(&mut self, it: &TSAsExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank(it.expression.span().end, it.span.end);
    }

    fn visit_ts_satisfies_expression(&mut self, it: &TSSatisfiesExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank(it.expression.span().end, it.span.end);
    }

    fn visit_ts_non_null_expression(&mut self, it: &TSNonNullExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank(it.expression.span().end, it.span.end);
    }

    fn visit_ts_type_assertion(&mut self, it: &TSTypeAssertion<'a>) {
        self.blank(it.span.start, it.expression.span().start);
        self.visit_expression(&it.expression);
    }

    fn visit_ts_interface_declaration(&mut self, it: &TSInterfaceDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_type_alias_declaration(&mut self, it: &TSTypeAliasDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_export_named_declaration(&mut self, it: &ExportNamedDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_enum_declaration(&mut self, it: &TSEnumDeclaration<'a>) {
        match it.declare {
            true => self.blank_statement(it.span),
            false => self.refuse("an enum", it.span),
        }
    }

    fn visit_ts_namespace_declaration(&mut self, it: &TSNamespaceDeclaration<'a>) {
        match it.declare {
            true => self.blank_statement(it.span),
            false => self.refuse("a namespace", it.span),
        }
    }

    fn visit_ts_external_module_declaration(&mut self, it: &TSExternalModuleDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_global_declaration(&mut self, it: &TSGlobalDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        self.refuse("`import`", it.span);
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.refuse("a decorator", it.span);
    }

    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        match it.declare {
            true => self.blank_statement(it.span),
            false => walk::walk_variable_declaration(self, it),
        }
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        walk::walk_variable_declarator(self, it);
        if let Some(annotation) = it.type_annotation.as_ref().filter(|_| it.definite) {
            self.blank_mark(b'!', it.id.span().end, annotation.span.start);
        }
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.accessibility.is_some() || it.readonly || it.r#override {
            self.refuse("a parameter property", it.span);
        }
        walk::walk_formal_parameter(self, it);
        if it.optional {
            let end = it
                .type_annotation
                .as_ref()
                .map_or(it.span.end, |of| of.span.start);
            self.blank_mark(b'?', it.pattern.span().end, end);
        }
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        // An overload, or a declaration of what is elsewhere.
        match it.body.is_none() || it.declare {
            true => self.blank_statement(it.span),
            false => walk::walk_function(self, it, flags),
        }
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        let of_result = it.return_type.as_ref().map(|of| of.span);
        let has_lines = of_result
            .filter(|span| self.text[span.start as usize..span.end as usize].contains(&b'\n'));
        walk::walk_arrow_function_expression(self, it);
        // No line may end between the parameters and the arrow.
        if let Some(span) = has_lines {
            self.blank_mark(b')', it.params.span.start, span.start);
            self.text[span.end as usize - 1] = b')';
        }
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        if it.declare {
            return self.blank_statement(it.span);
        }
        self.blank_modifiers(
            it.span.start,
            it.id
                .as_ref()
                .map_or(it.body.span.start, |id| id.span.start),
        );
        walk::walk_class(self, it);
        if let (Some(first), Some(last)) = (it.implements.first(), it.implements.last()) {
            let (start, end) = (first.span.start, last.span.end);
            let before = &self.text[it.span.start as usize..start as usize];
            let word = b"implements";
            let at = before.windows(word.len()).rposition(|it| it == word);
            let start = at.map_or(start, |at| it.span.start + at as u32);
            self.blank(start, end);
        }
    }

    fn visit_class_element(&mut self, it: &ClassElement<'a>) {
        match it {
            ClassElement::TSIndexSignature(it) => return self.blank(it.span.start, it.span.end),
            ClassElement::MethodDefinition(it) => {
                let is_declared = it.value.body.is_none();
                if is_declared {
                    return self.blank_statement(it.span);
                }
                self.blank_modifiers(it.span.start, it.key.span().start);
                if it.optional {
                    self.blank_mark(b'?', it.key.span().end, it.value.params.span.start);
                }
            }
            ClassElement::PropertyDefinition(it) => {
                if it.declare || it.r#type == PropertyDefinitionType::TSAbstractPropertyDefinition {
                    return self.blank_statement(it.span);
                }
                self.blank_modifiers(it.span.start, it.key.span().start);
                let annotation = it.type_annotation.as_ref().map(|of| of.span.start);
                let value = it.value.as_ref().map(|value| value.span().start);
                let end = annotation.or(value).unwrap_or(it.span.end);
                if it.optional {
                    self.blank_mark(b'?', it.key.span().end, end);
                }
                if it.definite {
                    self.blank_mark(b'!', it.key.span().end, end);
                }
            }
            ClassElement::AccessorProperty(_) | ClassElement::StaticBlock(_) => {}
        }
        walk::walk_class_element(self, it);
    }
}

#[cfg(test)]
mod tests {
    use crate::source::prepare;

    /// What is left of TypeScript, without what is put around it.
    fn erased(source: &str) -> String {
        let program = match prepare(source) {
            Ok(program) => program.text,
            Err(error) => panic!("{error}"),
        };
        let inner = program.strip_prefix("(async () => {\n").unwrap();
        inner.strip_suffix("\n})").unwrap().to_owned()
    }

    #[test]
    fn types_become_spaces() {
        for (source, expected) in [
            ("let a: number = 1", "let a         = 1"),
            ("let a!: number", "let a         "),
            (
                "function f<T>(a?: T, ...b: T[]): T | null { return null }",
                "function f   (a    , ...b     )           { return null }",
            ),
            (
                "const f = (a: string): void => {}",
                "const f = (a        )       => {}",
            ),
            (
                "let a = b as unknown as string[];",
                "let a = b                       ;",
            ),
            ("let a = b!.c satisfies D", "let a = b .c            "),
            (
                "let m = new Map<string, number>()",
                "let m = new Map                ()",
            ),
            (
                "interface A { b: string }\nlet c = 1",
                ";                        \nlet c = 1",
            ),
            (
                "type A = { b: string };\nlet c = 1",
                ";                      \nlet c = 1",
            ),
            (
                "class A<T> extends B<T> implements C { private readonly a?: T = 1; static b(): T { return 1 } }",
                "class A    extends B                 {                  a     = 1; static b()    { return 1 } }",
            ),
            (
                "const f = (a): {\n  b: string\n} => a;",
                "const f = (a    \n           \n) => a;",
            ),
            ("let ä: string = 'ö'", "let ä         = 'ö'"),
        ] {
            assert_eq!(erased(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_more_than_types_is_refused() {
        for (source, what) in [
            ("enum A { B }", "an enum"),
            ("namespace A { export const b = 1 }", "a namespace"),
            (
                "class A { constructor(private b: string) {} }",
                "a parameter property",
            ),
        ] {
            let error = prepare(source).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
