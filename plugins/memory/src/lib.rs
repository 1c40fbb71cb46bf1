//! A memory that outlasts conversations: entities, relations between them, and observations about them, in one file. The
//! tools and the file are those of the MCP server `@modelcontextprotocol/server-memory`.

mod change;
mod graph;
mod read;
mod store;

toolhost_plugin::plugin!(
    change::create_entities,
    change::create_relations,
    change::add_observations,
    change::delete_entities,
    change::delete_observations,
    change::delete_relations,
    read::read_graph,
    read::search_nodes,
    read::open_nodes
);
