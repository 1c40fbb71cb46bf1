//! Room for the schemas of one server's tools. A schema in memory, and compiled, takes up to a hundred times
//! its text.

use serde_json::Value;

/// The text of all schemas of a server may be no longer, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// Objects and arrays in them: a plain schema compiles to some two kilobytes for each.
const MAX_NODES: usize = 100_000;

/// What is left.
pub(super) struct Room {
    bytes: usize,
    nodes: usize,
}

impl Room {
    pub(super) fn new() -> Room {
        Room {
            bytes: MAX_BYTES,
            nodes: MAX_NODES,
        }
    }

    /// Takes room for a tool's schemas.
    ///
    /// # Errors
    ///
    /// What they are too large for, as what the tool has.
    pub(super) fn take(&mut self, schemas: &[&str]) -> Result<(), String> {
        let bytes: usize = schemas.iter().map(|schema| schema.len()).sum();
        if bytes > self.bytes {
            return Err(format!(
                "has schemas of {bytes} bytes, but only {} are left of the {MAX_BYTES} for all tools of a server",
                self.bytes
            ));
        }
        // What is no JSON is somebody else's to say.
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
