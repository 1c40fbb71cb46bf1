//! Which subschemas apply at a place of a document, and which types they allow there.
//!
//! The result is never narrower than the schema: a type that is missing from [`SchemaPlace::types`] is
//! never valid there, whatever else the document contains; keywords that are not examined only
//! leave more types in.

use std::collections::HashMap;

use serde_json::{Map, Value};
use toolhost_schema::{Patterns, Watch};

use super::json_tree::{JsonKind, JsonNode};
use super::refs::resolve;

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    const NONE: Types = Types(0);
    pub(super) const NULL: Types = Types(1);
    const BOOLEAN: Types = Types(1 << 1);
    pub(super) const INTEGER: Types = Types(1 << 2);
    /// Numbers that are not whole.
    pub(super) const FRACTION: Types = Types(1 << 3);
    pub(super) const STRING: Types = Types(1 << 4);
    const ARRAY: Types = Types(1 << 5);
    pub(super) const OBJECT: Types = Types(1 << 6);
    const ALL: Types = Types(0x7f);

    pub(super) fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() != 0.0 => Types::FRACTION,
                _ => Types::INTEGER,
            },
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::INTEGER.or(Types::FRACTION),
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::ALL,
        }
    }

    fn any<'v>(values: impl IntoIterator<Item = &'v Value>, of: impl Fn(&Value) -> Types) -> Types {
        let values = values.into_iter();
        values.fold(Types::NONE, |types, value| types.or(of(value)))
    }

    pub(super) fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    /// Whether one of `other` is in the set.
    pub(super) fn take(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set contains only types of `other`.
    pub(super) fn only(self, other: Types) -> bool {
        self.0 & !other.0 == 0
    }
}

/// The subschemas that apply at one place.
#[derive(Debug, Default)]
pub(super) struct SchemaPlace<'s> {
    /// All of these apply.
    all: Vec<&'s Map<String, Value>>,
    /// At least one of each group applies.
    groups: Vec<Vec<SchemaPlace<'s>>>,
    /// Nothing is valid there.
    is_closed: bool,
    /// The number of steps for examining all of it.
    pub(super) weight: u64,
}

impl<'s> SchemaPlace<'s> {
    /// Whether anything may be valid there, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.all.is_empty() && self.groups.is_empty() && !self.is_closed
    }

    pub(super) fn types(&self) -> Types {
        if self.is_closed {
            return Types::NONE;
        }
        let own = self.all.iter().map(|schema| own_types(schema));
        let groups = self.groups.iter().map(|group| {
            let each = group.iter().map(SchemaPlace::types);
            each.fold(Types::NONE, Types::or)
        });
        own.chain(groups).fold(Types::ALL, Types::and)
    }

    /// Drops alternatives that an object cannot match, whatever is repaired in it.
    pub(super) fn narrow(&mut self, object: &JsonNode) {
        for group in &mut self.groups {
            group.retain_mut(|alternative| {
                alternative.narrow(object);
                alternative.may_hold(object)
            });
        }
    }

    fn may_hold(&self, object: &JsonNode) -> bool {
        self.types().take(Types::OBJECT)
            && self.groups.iter().all(|group| !group.is_empty())
            && self.all.iter().all(|schema| may_hold(schema, object))
    }

    /// Whether a member is known to the schema and may be left out.
    pub(super) fn is_optional(&self, name: &str) -> bool {
        self.knows(name) && !self.requires(name)
    }

    fn knows(&self, name: &str) -> bool {
        let mut all = self.all.iter();
        let has = |schema: &Map<_, _>| properties(schema).is_some_and(|has| has.contains_key(name));
        all.any(|schema| has(schema)) || self.groups.iter().flatten().any(|one| one.knows(name))
    }

    fn requires(&self, name: &str) -> bool {
        let mut all = self.all.iter();
        all.any(|schema| required(schema).any(|required| required == name))
            || self.groups.iter().flatten().any(|one| one.requires(name))
    }
}

fn own_types(schema: &Map<String, Value>) -> Types {
    let mut types = match schema.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => {
            Types::any(names, |name| name.as_str().map_or(Types::ALL, Types::named))
        }
        _ => Types::ALL,
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        types = types.and(Types::any(values, Types::of));
    }
    match schema.get("const") {
        Some(value) => types.and(Types::of(value)),
        None => types,
    }
}

fn properties(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether an object may match by what distinguishes the variants of a tagged union: property
/// names, and constant texts.
fn may_hold(schema: &Map<String, Value>, object: &JsonNode) -> bool {
    let JsonKind::Object(members) = &object.kind else {
        return true;
    };
    let has = |name: &str| members.iter().any(|member| member.name == name);
    let known = properties(schema);
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false))
        && !schema.contains_key("patternProperties");
    required(schema).all(has)
        && members.iter().all(
            |member| match known.and_then(|known| known.get(&member.name)) {
                Some(property) => !is_another_text(property, &member.value),
                None => !is_closed,
            },
        )
}

/// Whether a text is none of those that a property allows.
fn is_another_text(property: &Value, value: &JsonNode) -> bool {
    let one = property.get("const").map(std::slice::from_ref);
    let choices = property.get("enum").and_then(Value::as_array);
    let Some(choices) = one.or(choices.map(Vec::as_slice)) else {
        return false;
    };
    matches!(value.kind, JsonKind::String)
        && choices.iter().all(Value::is_string)
        && serde_json::from_str::<Value>(value.text).is_ok_and(|text| !choices.contains(&text))
}

/// Steps of the watch for one step here.
const STEP: u64 = 8;

/// Finds which subschemas apply where, in a bounded number of steps.
pub(super) struct PlaceFinder<'s> {
    root: &'s Value,
    draft: DraftVersion,
    anchors: HashMap<&'s str, &'s Value>,
    patterns: &'s Patterns,
    watch: &'s Watch<'s>,
    steps: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum DraftVersion {
    V4,
    V6,
    V7,
    V2019,
    V2020,
}

impl DraftVersion {
    fn of(root: &Value) -> DraftVersion {
        let named = root
            .get("$schema")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let drafts = [
            ("draft-04", DraftVersion::V4),
            ("draft-06", DraftVersion::V6),
            ("draft-07", DraftVersion::V7),
            ("2019-09", DraftVersion::V2019),
        ];
        let mut drafts = drafts.into_iter();
        let found = drafts.find(|(name, _)| named.contains(name));
        found.map_or(DraftVersion::V2020, |(_, draft)| draft)
    }
}

impl<'s> PlaceFinder<'s> {
    pub(super) fn new(
        root: &'s Value,
        patterns: &'s Patterns,
        steps: usize,
        watch: &'s Watch<'s>,
    ) -> Self {
        PlaceFinder {
            root,
            draft: DraftVersion::of(root),
            anchors: HashMap::new(),
            patterns,
            watch,
            steps,
        }
    }

    /// Takes a step. Returns whether there was one left.
    pub(super) fn step(&mut self) -> bool {
        let is_left = self.steps > 0 && self.watch.go(STEP);
        self.steps = self.steps.saturating_sub(1);
        is_left
    }

    /// Takes steps of the watch. Returns whether there may be more.
    pub(super) fn pay(&self, steps: u64) -> bool {
        self.watch.go(steps)
    }

    pub(super) fn is_over(&self) -> bool {
        self.steps == 0 || self.watch.has_stopped()
    }

    pub(super) fn root(&mut self) -> SchemaPlace<'s> {
        self.of(self.root)
    }

    fn of(&mut self, schema: &'s Value) -> SchemaPlace<'s> {
        let mut place = SchemaPlace::default();
        self.add(&mut place, schema, &mut Vec::new());
        place
    }

    /// Adds a schema that applies at a place; `open` are those that led to it.
    fn add(
        &mut self,
        place: &mut SchemaPlace<'s>,
        schema: &'s Value,
        open: &mut Vec<*const Value>,
    ) {
        if !self.step() || open.contains(&std::ptr::from_ref(schema)) {
            return;
        }
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(may_be) => {
                place.is_closed |= !may_be;
                return;
            }
            _ => return,
        };
        open.push(schema);
        let reference = members.get("$ref").and_then(Value::as_str);
        if let Some(target) = reference.and_then(|name| resolve(self.root, &self.anchors, name)) {
            self.add(place, target, open);
        }
        // Up to draft 7 a `$ref` overrides everything beside it.
        if reference.is_none() || self.draft >= DraftVersion::V2019 {
            // Draft 4 has no `const`.
            if self.draft > DraftVersion::V4 || !members.contains_key("const") {
                place.all.push(members);
                let lists = ["enum", "required"].map(|key| list(members, key).count());
                place.weight += 1 + lists.iter().sum::<usize>() as u64;
            }
            for part in list(members, "allOf") {
                self.add(place, part, open);
            }
            for key in ["anyOf", "oneOf"] {
                if members.contains_key(key) {
                    let alternatives = list(members, key);
                    self.add_group(place, alternatives.map(Some), open);
                }
            }
            if self.draft >= DraftVersion::V7 && members.contains_key("if") {
                let branches = ["then", "else"].map(|branch| members.get(branch));
                self.add_group(place, branches.into_iter(), open);
            }
        }
        open.pop();
    }

    /// Adds schemas of which one applies; `None` is one that accepts everything.
    fn add_group(
        &mut self,
        place: &mut SchemaPlace<'s>,
        schemas: impl Iterator<Item = Option<&'s Value>>,
        open: &mut Vec<*const Value>,
    ) {
        let mut group = Vec::new();
        for schema in schemas {
            let mut alternative = SchemaPlace::default();
            if let Some(schema) = schema {
                self.add(&mut alternative, schema, open);
            }
            group.push(alternative);
        }
        if !group.iter().any(SchemaPlace::is_open) {
            place.weight += group.iter().map(|it| it.weight).sum::<u64>();
            place.groups.push(group);
        }
    }

    /// The subschemas that apply to a member of an object.
    pub(super) fn member(&mut self, place: &SchemaPlace<'s>, name: &str) -> SchemaPlace<'s> {
        self.inside(place, &mut |places, schema, within| {
            let property = properties(schema).and_then(|known| known.get(name));
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            let mut is_known = property.is_some();
            let mut parts: Vec<&Value> = property.into_iter().collect();
            for (pattern, part) in patterns.into_iter().flatten() {
                let known = places.patterns;
                match places
                    .step()
                    .then(|| known.matches(pattern, name, places.watch))
                    .flatten()
                {
                    Some(true) => parts.push(part),
                    Some(false) => continue,
                    // It may match one of those.
                    None => {}
                }
                is_known = true;
            }
            if !is_known {
                parts.extend(schema.get("additionalProperties"));
            }
            for part in parts {
                places.add(within, part, &mut Vec::new());
            }
        })
    }

    /// The subschemas that apply to an item of an array.
    pub(super) fn item(&mut self, place: &SchemaPlace<'s>, number: usize) -> SchemaPlace<'s> {
        self.inside(place, &mut |places, schema, within| {
            let (first, others) = match schema.get("items") {
                Some(Value::Array(first)) => (Some(first), schema.get("additionalItems")),
                items => {
                    let first = schema.get("prefixItems").and_then(Value::as_array);
                    (first.filter(|_| places.draft == DraftVersion::V2020), items)
                }
            };
            let part = match first.and_then(|first| first.get(number)) {
                Some(part) => Some(part),
                None => others,
            };
            if let Some(part) = part {
                places.add(within, part, &mut Vec::new());
            }
        })
    }

    fn inside(
        &mut self,
        place: &SchemaPlace<'s>,
        add: &mut impl FnMut(&mut Self, &'s Map<String, Value>, &mut SchemaPlace<'s>),
    ) -> SchemaPlace<'s> {
        let mut within = SchemaPlace::default();
        for schema in &place.all {
            if !self.pay(1) {
                break;
            }
            add(self, schema, &mut within);
        }
        for group in &place.groups {
            if !self.step() {
                break;
            }
            let group: Vec<SchemaPlace> = group.iter().map(|one| self.inside(one, add)).collect();
            if !group.iter().any(SchemaPlace::is_open) {
                within.weight += group.iter().map(|it| it.weight).sum::<u64>();
                within.groups.push(group);
            }
        }
        within
    }
}

fn list<'s>(schema: &'s Map<String, Value>, key: &str) -> impl Iterator<Item = &'s Value> {
    let parts = schema.get(key).and_then(Value::as_array);
    parts.into_iter().flatten()
}
