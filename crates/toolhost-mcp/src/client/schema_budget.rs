//! The budget for the schemas of one server's tools. A schema in memory, and compiled, takes up to
//! a hundred times its text.

use serde_json::Value;

/// The most text of all schemas of a server, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// The most objects and arrays in them: a plain schema compiles to about two kilobytes for each.
const MAX_NODES: usize = 100_000;

/// What is left.
pub(super) struct SchemaBudget {
    bytes: usize,
    nodes: usize,
}

impl SchemaBudget {
    pub(super) fn new() -> SchemaBudget {
        SchemaBudget {
            bytes: MAX_BYTES,
            nodes: MAX_NODES,
        }
    }

    /// Takes a tool's schemas from the budget.
    ///
    /// # Errors
    ///
    /// They are too large, as a phrase about the tool.
    pub(super) fn take(&mut self, schemas: &[&str]) -> Result<(), String> {
        let bytes: usize = schemas.iter().map(|schema| schema.len()).sum();
        if bytes > self.bytes {
            return Err(format!(
                "has schemas of {bytes} bytes, but only {} are left of the {MAX_BYTES} for all tools of a server",
                self.bytes
            ));
        }
        // Invalid JSON is reported elsewhere.
        let parsed = schemas
            .iter()
            .filter_map(|schema| serde_json::from_str(schema).ok());
        let nodes: usize = parsed.map(|schema| nodes(&schema)).sum();
        if nodes > self.nodes {
            return Err(format!(
                "has schemas with {nodes} objects and arrays, but only {} are left of the {MAX_NODES} for all \
                 tools of a server",
                self.nodes
            ));
        }
        self.bytes -= bytes;
        self.nodes -= nodes;
        Ok(())
    }
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(nodes).sum::<usize>(),
        _ => 0,
    }
}
