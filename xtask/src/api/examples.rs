//! Which public items have an example that runs.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The items that need an example: traits, functions, and types with methods that do something.
pub(super) struct Examples {
    pub(super) with: usize,
    /// The paths of those without.
    pub(super) without: Vec<String>,
}

/// What a library's rustdoc JSON says of them.
pub(super) fn count(json: &Path) -> Result<Examples> {
    let text = fs::read(json).with_context(|| format!("cannot read {}", json.display()))?;
    let json: Value = serde_json::from_slice(&text)?;
    let none = Map::new();
    let index = json["index"].as_object().unwrap_or(&none);
    let library = Library(index);
    let mut found = Examples {
        with: 0,
        without: Vec::new(),
    };
    for (id, path) in json["paths"].as_object().unwrap_or(&none) {
        let Some(item) = index.get(id).filter(|_| path["crate_id"] == 0) else {
            continue;
        };
        if !library.acts(item, &path["kind"]) {
            continue;
        }
        if library.docs(item).any(has_example) {
            found.with += 1;
        } else {
            let path = path["path"].as_array().into_iter().flatten();
            let path: Vec<&str> = path.filter_map(Value::as_str).collect();
            found.without.push(path.join("::"));
        }
    }
    found.without.sort();
    Ok(found)
}

/// The items of a library, by their ids.
struct Library<'j>(&'j Map<String, Value>);

impl<'j> Library<'j> {
    /// Whether an item is more than plain data.
    fn acts(&self, item: &'j Value, kind: &Value) -> bool {
        match kind.as_str() {
            Some("trait" | "function" | "macro") => true,
            Some("struct" | "enum") => self.methods(item).any(|method| {
                let name = method["name"].as_str().unwrap_or_default();
                let header = &method["inner"]["function"];
                let inputs = header["sig"]["inputs"].as_array();
                let has_arguments =
                    inputs.is_some_and(|inputs| inputs.len() > 1 && inputs[0][0] == "self");
                let is_setter = name.starts_with("with_");
                let is_async = header["header"]["is_async"] == true;
                !is_setter && (has_arguments || is_async)
            }),
            _ => false,
        }
    }

    /// The documentation of an item and of what is in it.
    fn docs(&self, item: &'j Value) -> impl Iterator<Item = &'j str> {
        let methods = self.methods(item);
        let of_trait = self.named(&item["inner"]["trait"]["items"]);
        let all = std::iter::once(item).chain(methods).chain(of_trait);
        all.filter_map(|item| item["docs"].as_str())
    }

    /// The inherent methods and functions of a type.
    fn methods(&self, item: &'j Value) -> impl Iterator<Item = &'j Value> {
        let of = ["struct", "enum"];
        let impls = of.into_iter().map(|of| &item["inner"][of]["impls"]);
        let impls = impls.flat_map(|ids| self.named(ids));
        let inherent = impls.filter(|it| it["inner"]["impl"]["trait"].is_null());
        inherent.flat_map(|it| self.named(&it["inner"]["impl"]["items"]))
    }

    fn named(&self, ids: &'j Value) -> impl Iterator<Item = &'j Value> {
        let ids = ids.as_array().into_iter().flatten();
        ids.filter_map(|id| self.0.get(&id.to_string()))
    }
}

/// Whether a text has a block of code that is run as a test.
fn has_example(docs: &str) -> bool {
    let fences = docs
        .lines()
        .filter_map(|line| line.trim().strip_prefix("```"));
    // Every other one ends a block.
    fences.step_by(2).any(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.all(|tag| matches!(tag, "" | "rust" | "edition2024" | "should_panic"))
    })
}
