//! Which modules of a crate use which others, read from its sources.
//!
//! A module uses another where a path names the other, or something in it: in a `use` declaration, in code, in the
//! arguments of a macro or an attribute. Paths begin with `crate`, `self` or `super`, with a child module or with an
//! import. Re-exports are followed, and each module on the way counts. Code under `#[cfg(test)]` does not. A method call
//! names no module, so it is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A path by its segments. That of a module begins at the root of its crate, which is the empty one.
pub type Segments = Vec<String>;

/// More re-exports in a row are a loop.
const MAX_REEXPORTS: usize = 16;

/// What is followed by the name of an item.
const ITEMS: [&str; 8] = [
    "const", "enum", "fn", "static", "struct", "trait", "type", "union",
];

/// The modules of a crate, by their paths.
pub struct Modules(BTreeMap<Segments, Module>);

#[derive(Default)]
struct Module {
    /// The names of its own items, child modules aside.
    items: BTreeSet<String>,
    /// The names that `use` declarations bring in, each with the path that it stands for.
    imports: BTreeMap<String, Segments>,
    /// The modules and enums of which it imports everything.
    globs: BTreeSet<Segments>,
    /// All paths in it, imports included.
    paths: BTreeSet<Segments>,
}

/// A module uses another of the same parent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Between {
    pub parent: Segments,
    pub user: String,
    pub used: String,
    /// A path that does so, as it is written, after the module that it is in.
    pub path: String,
}

/// The uses that are in circles, or between circles.
pub fn circles(uses: &[Between]) -> Vec<String> {
    let mut left: Vec<&Between> = uses.iter().collect();
    loop {
        let users: BTreeSet<_> = left.iter().map(|it| (&it.parent, &it.user)).collect();
        let used: BTreeSet<_> = left.iter().map(|it| (&it.parent, &it.used)).collect();
        let before = left.len();
        left.retain(|it| {
            used.contains(&(&it.parent, &it.user)) && users.contains(&(&it.parent, &it.used))
        });
        if left.len() == before {
            break;
        }
    }
    let shown = left.into_iter().map(|it| {
        let parent = it.parent.join("::");
        format!("in `{parent}`, {} uses {} by {}", it.user, it.used, it.path)
    });
    shown.collect()
}

impl Modules {
    /// Reads a crate from its root, `lib.rs` or `main.rs`.
    pub fn read(root: &Path) -> Self {
        let mut modules = Modules(BTreeMap::new());
        modules.file(Vec::new(), root, root.parent().unwrap());
        modules
    }

    /// The modules right below the root.
    pub fn top(&self) -> impl Iterator<Item = &str> {
        let top = self.0.keys().filter(|path| path.len() == 1);
        top.map(|path| &*path[0])
    }

    /// Which modules use which others of the same parent; of each two one path.
    pub fn between_siblings(&self) -> Vec<Between> {
        let mut between = BTreeMap::new();
        for (user, module) in &self.0 {
            for path in &module.paths {
                let mut used = BTreeSet::new();
                self.follow(user, path, &mut used, 0);
                for used in used {
                    let both = user.iter().zip(&used);
                    let common = both.take_while(|(user, used)| user == used).count();
                    if let (Some(of), Some(one)) = (user.get(common), used.get(common)) {
                        let place = format!("{}: {}", user.join("::"), path.join("::"));
                        between.insert((user[..common].to_vec(), of.clone(), one.clone()), place);
                    }
                }
            }
        }
        let between = between
            .into_iter()
            .map(|((parent, user, used), path)| Between {
                parent,
                user,
                used,
                path,
            });
        between.collect()
    }

    /// Adds the modules of this crate that a path names which is written in `module`.
    fn follow(
        &self,
        module: &[String],
        path: &[String],
        used: &mut BTreeSet<Segments>,
        reexports: usize,
    ) {
        match path[0].as_str() {
            "crate" => self.descend(&[], &path[1..], used, reexports),
            "self" => self.descend(module, &path[1..], used, reexports),
            _ => self.descend(module, path, used, reexports),
        }
    }

    /// Adds the modules of this crate that a path names which begins in `module`.
    fn descend(
        &self,
        module: &[String],
        path: &[String],
        used: &mut BTreeSet<Segments>,
        reexports: usize,
    ) {
        let Some((first, rest)) = path.split_first() else {
            used.insert(module.to_vec());
            return;
        };
        if first == "super" {
            return self.descend(&module[..module.len() - 1], rest, used, reexports);
        }
        used.insert(module.to_vec());
        let child = [module, std::slice::from_ref(first)].concat();
        if self.0.contains_key(&child) {
            return self.descend(&child, rest, used, reexports);
        }
        let here = &self.0[module];
        if here.items.contains(first) || reexports == MAX_REEXPORTS {
            return;
        }
        if let Some(import) = here.imports.get(first) {
            self.follow(module, &[import, rest].concat(), used, reexports + 1);
            return;
        }
        for glob in &here.globs {
            self.follow(module, &[glob, path].concat(), used, reexports + 1);
        }
    }

    /// Reads the file of a module; those of its children are in `folder`.
    fn file(&mut self, name: Segments, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.module(name, &tokens(&text), folder);
    }

    /// Reads the tokens of a module.
    fn module(&mut self, name: Segments, mut rest: &[&str], folder: &Path) {
        let mut module = Module::default();
        let mut file = None;
        let mut depth = 0;
        while let [first, after @ ..] = rest {
            rest = after;
            match (*first, rest) {
                ("#", ["[", ..]) => {
                    let (attribute, after) = rest.split_at(group(rest));
                    match attribute {
                        ["[", "cfg", "(", "test", ")", "]"] => rest = &after[item(after)..],
                        ["[", "cfg", "(", "all", all @ ..] if all.contains(&"test") => {
                            rest = &after[item(after)..];
                        }
                        ["[", "path", "=", path, "]"] => {
                            file = Some(folder.parent().unwrap().join(path.trim_matches('"')));
                        }
                        _ => {}
                    }
                }
                ("mod", [child, ";", after @ ..]) => {
                    let inner = folder.join(child);
                    let file = file.take().unwrap_or_else(|| inner.with_extension("rs"));
                    self.file(path(&name, &[child]), &file, &inner);
                    rest = after;
                }
                ("mod", [child, body @ ..]) => {
                    let (body, after) = body.split_at(group(body));
                    self.module(path(&name, &[child]), body, &folder.join(child));
                    rest = after;
                }
                // `impl Trait + use<'a>` is no declaration.
                ("use", ["<", ..]) => {}
                ("use", _) => {
                    let end = rest.iter().position(|token| *token == ";");
                    let (tree, after) = rest.split_at(end.unwrap());
                    module.import(&[], tree);
                    rest = after;
                }
                // A visibility names a module that this one is in.
                ("pub", ["(", ..]) => rest = &rest[group(rest)..],
                ("{", _) => depth += 1,
                ("}", _) => depth -= 1,
                // This goes on from a type, as in `<T as Trait>::NAME`.
                ("::", _) => rest = &rest[segments(rest)..],
                (word, _) if is_name(word) => {
                    let (more, after) = match rest {
                        ["::", more @ ..] => more.split_at(segments(more)),
                        _ => (&[][..], rest),
                    };
                    if let [item, ..] = after
                        && depth == 0
                        && ITEMS.contains(&word)
                    {
                        module.items.insert((*item).to_owned());
                    }
                    if !more.is_empty() {
                        let names: Vec<&str> = more.iter().copied().step_by(2).collect();
                        module.paths.insert(path(&[word.to_owned()], &names));
                    }
                    rest = after;
                }
                _ => {}
            }
        }
        // A system may have a module of its own under the same name.
        self.0.entry(name).or_default().add(module);
    }
}

impl Module {
    fn add(&mut self, other: Module) {
        self.items.extend(other.items);
        self.imports.extend(other.imports);
        self.globs.extend(other.globs);
        self.paths.extend(other.paths);
    }

    /// Takes the tree of a `use` declaration, or the part of one below `prefix`.
    fn import(&mut self, prefix: &[String], mut tree: &[&str]) {
        let mut names = prefix.to_vec();
        loop {
            let mut name = None;
            match tree {
                [] => return,
                ["{", ..] => {
                    let (inner, after) = tree.split_at(group(tree));
                    self.import(&names, &inner[1..inner.len() - 1]);
                    tree = after;
                }
                ["*", after @ ..] => {
                    self.globs.insert(names.clone());
                    self.paths.insert(names.clone());
                    tree = after;
                }
                ["::", after @ ..] => {
                    tree = after;
                    continue;
                }
                [segment, after @ ..] => {
                    // `a::{self}` is `a`.
                    if *segment != "self" || names.is_empty() {
                        names.push((*segment).to_owned());
                    }
                    tree = after;
                    if let ["::", ..] = tree {
                        continue;
                    }
                    name = names.last().cloned();
                    if let ["as", alias, after @ ..] = tree {
                        name = Some((*alias).to_owned());
                        tree = after;
                    }
                }
            }
            if let Some(name) = name {
                self.paths.insert(names.clone());
                self.imports.insert(name, names);
            }
            names = prefix.to_vec();
            if let [",", after @ ..] = tree {
                tree = after;
            }
        }
    }
}

fn path(of: &[String], names: &[&str]) -> Segments {
    let names = names.iter().map(|name| (*name).to_owned());
    of.iter().cloned().chain(names).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// How many tokens a path has here: names with `::` between them.
fn segments(tokens: &[&str]) -> usize {
    let mut length = 0;
    while tokens.get(length).is_some_and(|token| is_name(token)) {
        length += 1;
        match tokens.get(length..length + 2) {
            Some(["::", next]) if is_name(next) => length += 1,
            _ => break,
        }
    }
    length
}

/// How many tokens a group has, with the brackets that it begins and ends with.
fn group(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// How many tokens an item has: up to its `;` or the end of its body.
fn item(tokens: &[&str]) -> usize {
    let mut head = tokens
        .iter()
        .take_while(|token| !["{", ";"].contains(token));
    // The braces of a `use` declaration are no body.
    let has_body = !head.any(|token| *token == "use");
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match *token {
            ";" => return at + 1,
            "{" if has_body => return at + group(&tokens[at..]),
            "(" | "[" | "{" => at += group(&tokens[at..]),
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// The tokens of Rust source: names, literals, `::`, and every other character by itself. Without comments.
fn tokens(mut text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    while let Some(first) = text.chars().next() {
        let length = match first {
            _ if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
            _ if text.starts_with("/*") => comment(text),
            _ if text.starts_with("::") => 2,
            '"' => string(text),
            '\'' => character(text),
            c if c.is_alphanumeric() || c == '_' => {
                let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
                let end = end.unwrap_or(text.len());
                match (&text[..end], &text[end..]) {
                    ("r" | "br" | "cr", rest) if is_raw_string(rest) => end + raw_string(rest),
                    ("b" | "c", rest) if rest.starts_with('"') => end + string(rest),
                    ("b", rest) if rest.starts_with('\'') => end + character(rest),
                    _ => end,
                }
            }
            c => c.len_utf8(),
        };
        let (token, rest) = text.split_at(length);
        if !first.is_whitespace() && !token.starts_with("//") && !token.starts_with("/*") {
            tokens.push(token);
        }
        text = rest;
    }
    tokens
}

/// The length of a block comment, which may have others in it.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    loop {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The length of a string.
fn string(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether `#`s and a quotation mark follow an `r`; `r#type` is a name.
fn is_raw_string(text: &str) -> bool {
    text.trim_start_matches('#').starts_with('"')
}

/// The length of a raw string, from the first `#` or quotation mark.
fn raw_string(text: &str) -> usize {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 1;
    let body = text[start..].find(&end).unwrap_or(text.len() - start);
    (start + body + end.len()).min(text.len())
}

/// The length of a character, or of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let (first, second) = (chars.next(), chars.next());
    match (first, second) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let rest = at + escaped.len_utf8();
            text[rest..]
                .find('\'')
                .map_or(text.len(), |end| rest + end + 1)
        }
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn uses_are_found_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let uses = || {
        let between = Modules::read(&folder.path().join("lib.rs")).between_siblings();
        let uses = between
            .into_iter()
            .map(|it| (it.parent.join("::"), it.user, it.used));
        uses.collect::<Vec<_>>()
    };
    let is_use = |uses: &[(String, String, String)], parent: &str, user: &str, used: &str| {
        uses.iter()
            .any(|it| (&*it.0, &*it.1, &*it.2) == (parent, user, used))
    };
    file(
        "lib.rs",
        "mod a;\npub mod b { pub mod inner { pub struct B; } pub fn f() {} }\npub use b::inner::B;",
    );
    for text in [
        "use crate::b;",
        "use crate::{b::{self}};",
        "pub(crate) use super::{b as c};",
        "use crate::b::{inner::{B as _}};",
        "use crate::b::*;",
        "fn f() { crate::b::f() }",
        "use super::*; fn f() { b::f(); }",
        "fn f() -> impl Fn() + use<> { println!(\"{}\", super::b::N); || {} }",
        "#[error(\"{}\", crate::b::text(.0))] struct E;",
        // By its parent's name for it.
        "use crate::B;",
        "struct S<'b>(&'b str, crate::B);",
        "const C: char = '\\''; use crate::b::f;",
        "const R: &str = r#\"\"\"#; use crate::b::f;",
        "#[cfg(test)] fn f<T>(t: T) -> bool { if true { } t } use crate::b::f;",
        "#[cfg(test)] use crate::{x}; use crate::b::f;",
    ] {
        file("a.rs", text);
        assert!(is_use(&uses(), "", "a", "b"), "{text}");
    }
    for text in [
        "// use crate::b;",
        "/* /* */ use crate::b; */",
        "const A: &str = \"\\\"; crate::b::f()\";",
        "const A: &str = r#\"\"; crate::b::f()\"#;",
        "#[cfg(test)] mod tests { use crate::b; }",
        "#[cfg(test)] #[allow(unused)] use crate::b::{f};",
        "#[cfg(all(test, unix))] fn f() -> u8 { crate::b::f() }",
        "fn f() { <T as U>::b::f() }",
        "use other::b; fn f() { b::f() }",
        "pub(in crate::b) fn f() {}",
    ] {
        file("a.rs", text);
        assert!(!is_use(&uses(), "", "a", "b"), "{text}");
    }
    file("a.rs", "mod c; mod d;");
    file("a/c.rs", "use super::d;");
    file("a/d.rs", "use crate::a::{self}; fn f() { a::c::f() }");
    let both = [("c", "d"), ("d", "c")];
    assert!(
        both.iter()
            .all(|(user, used)| is_use(&uses(), "a", user, used))
    );
    let modules = Modules::read(&folder.path().join("lib.rs"));
    assert_eq!(circles(&modules.between_siblings()).len(), 2);
}
