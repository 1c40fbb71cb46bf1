//! The tools that read the graph.

use crate::graph::{Entity, Graph, Relation};
use crate::store::{MAX_OUTPUT_BYTES, load};
use std::collections::HashSet;
use toolhost_plugin::{Error, Json, arguments, serde_json, structured, tool};

#[structured]
pub(crate) struct Found {
    /// The entities.
    entities: Vec<Entity>,
    /// The relations from or to them.
    relations: Vec<Relation>,
}

/// Reads the whole knowledge graph, which is kept between conversations.
#[tool(title = "Read the graph", read_only, idempotent, closed_world)]
pub(crate) fn read_graph() -> Result<Json<Found>, Error> {
    let graph = load()?;
    bounded(Found {
        entities: graph.entities.into_iter().map(|line| line.value).collect(),
        relations: graph.relations.into_iter().map(|line| line.value).collect(),
    })
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Text to find in names, types and observations; case is ignored.
    query: String,
}

/// Searches the knowledge graph for entities whose name, type or observations contain a text. Their relations to other
/// entities are in the result; open_nodes reads these.
#[tool(title = "Search the graph", read_only, idempotent, closed_world)]
pub(crate) fn search_nodes(args: Search) -> Result<Json<Found>, Error> {
    let query = args.query.to_lowercase();
    let has = |text: &String| text.to_lowercase().contains(&query);
    bounded(found(load()?, |entity| {
        has(&entity.name) || has(&entity.entity_type) || entity.observations.iter().any(has)
    }))
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    /// Names of the entities.
    names: Vec<String>,
}

/// Reads entities by name, and the relations from and to them. Names that do not exist are left out.
#[tool(title = "Open entities", read_only, idempotent, closed_world)]
pub(crate) fn open_nodes(args: Open) -> Result<Json<Found>, Error> {
    let names: HashSet<String> = args.names.into_iter().collect();
    bounded(found(load()?, |entity| names.contains(&entity.name)))
}

/// The entities that are meant, and the relations from or to them.
fn found(graph: Graph, is_meant: impl Fn(&Entity) -> bool) -> Found {
    let entities: Vec<Entity> = graph
        .entities
        .into_iter()
        .map(|line| line.value)
        .filter(is_meant)
        .collect();
    let names: HashSet<&String> = entities.iter().map(|entity| &entity.name).collect();
    let relations = graph
        .relations
        .into_iter()
        .map(|line| line.value)
        .filter(|relation| names.contains(&relation.from) || names.contains(&relation.to))
        .collect();
    Found {
        entities,
        relations,
    }
}

fn bounded(found: Found) -> Result<Json<Found>, Error> {
    let bytes = serde_json::to_string(&found)?.len();
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Error::failed(format!(
            "{} entities and {} relations are {bytes} bytes, but at most {MAX_OUTPUT_BYTES} are returned: use \
             search_nodes or open_nodes to read fewer",
            found.entities.len(),
            found.relations.len()
        )));
    }
    Ok(Json(found))
}
