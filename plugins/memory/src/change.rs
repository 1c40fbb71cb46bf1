//! The tools that change the graph.

use crate::graph::{Entity, Line, Relation};
use crate::store::change;
use std::collections::HashSet;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateEntities {
    /// The new entities.
    entities: Vec<Entity>,
}

#[structured]
pub(crate) struct CreatedEntities {
    /// Those that were created.
    entities: Vec<Entity>,
}

/// Creates entities in the knowledge graph, which is kept between conversations. Entities whose name is taken are left as
/// they are: use add_observations to add to them.
#[tool(title = "Create entities", additive, closed_world)]
pub(crate) fn create_entities(args: CreateEntities) -> Result<Json<CreatedEntities>, Error> {
    let entities = change(|graph| {
        let mut names: HashSet<String> = graph
            .entities
            .iter()
            .map(|line| line.value.name.clone())
            .collect();
        let mut created = args.entities;
        created.retain(|entity| names.insert(entity.name.clone()));
        graph
            .entities
            .extend(created.iter().cloned().map(Line::from));
        Ok(created)
    })?;
    Ok(Json(CreatedEntities { entities }))
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct Relations {
    /// The relations.
    relations: Vec<Relation>,
}

#[structured]
pub(crate) struct CreatedRelations {
    /// Those that were created.
    relations: Vec<Relation>,
}

/// Creates relations between entities that exist, in active voice ("Ada" "works at" "Acme"). Relations that exist are left
/// out.
#[tool(title = "Create relations", additive, closed_world)]
pub(crate) fn create_relations(args: Relations) -> Result<Json<CreatedRelations>, Error> {
    let relations = change(|graph| {
        for name in args
            .relations
            .iter()
            .flat_map(|relation| [&relation.from, &relation.to])
        {
            if graph.entity(name).is_none() {
                return Err(graph.unknown(name));
            }
        }
        let mut known: HashSet<Relation> = graph
            .relations
            .iter()
            .map(|line| line.value.clone())
            .collect();
        let mut created = args.relations;
        created.retain(|relation| known.insert(relation.clone()));
        graph
            .relations
            .extend(created.iter().cloned().map(Line::from));
        Ok(created)
    })?;
    Ok(Json(CreatedRelations { relations }))
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct AddObservations {
    /// What to add, by entity.
    observations: Vec<NewObservations>,
}

#[arguments]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewObservations {
    /// Name of the entity.
    entity_name: String,
    /// Facts about it, each on its own.
    contents: Vec<String>,
}

#[structured]
pub(crate) struct Added {
    /// For each entity, in the order of the arguments.
    results: Vec<AddedObservations>,
}

#[structured]
#[serde(rename_all = "camelCase")]
struct AddedObservations {
    entity_name: String,
    /// Those that were not there yet.
    added_observations: Vec<String>,
}

/// Adds observations to entities that exist. Observations that are there already are left out.
#[tool(title = "Add observations", additive, closed_world)]
pub(crate) fn add_observations(args: AddObservations) -> Result<Json<Added>, Error> {
    let results = change(|graph| {
        let mut results = Vec::new();
        for NewObservations {
            entity_name,
            contents,
        } in args.observations
        {
            let Some(entity) = graph.entity(&entity_name) else {
                return Err(graph.unknown(&entity_name));
            };
            let mut known: HashSet<String> = entity.observations.iter().cloned().collect();
            let mut added = contents;
            added.retain(|observation| known.insert(observation.clone()));
            entity.observations.extend(added.iter().cloned());
            results.push(AddedObservations {
                entity_name,
                added_observations: added,
            });
        }
        Ok(results)
    })?;
    Ok(Json(Added { results }))
}

#[structured]
pub(crate) struct Deleted {
    success: bool,
    /// What was deleted, and what was not there.
    message: String,
}

#[arguments]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteEntities {
    /// Names of the entities.
    entity_names: Vec<String>,
}

/// Deletes entities, and all relations from and to them.
#[tool(title = "Delete entities", destructive, idempotent, closed_world)]
pub(crate) fn delete_entities(args: DeleteEntities) -> Result<Json<Deleted>, Error> {
    let missing = change(|graph| {
        let names: HashSet<&String> = args.entity_names.iter().collect();
        let there: HashSet<String> = graph
            .entities
            .iter()
            .map(|line| line.value.name.clone())
            .collect();
        graph
            .entities
            .retain(|line| !names.contains(&line.value.name));
        graph
            .relations
            .retain(|line| !names.contains(&line.value.from) && !names.contains(&line.value.to));
        let mut missing = args.entity_names.clone();
        missing.retain(|name| !there.contains(name));
        Ok(missing)
    })?;
    let asked = args.entity_names.len();
    Ok(deleted("entities", asked - missing.len(), asked, &missing))
}

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteObservations {
    /// What to delete, by entity.
    deletions: Vec<OldObservations>,
}

#[arguments]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OldObservations {
    /// Name of the entity.
    entity_name: String,
    /// The observations, exactly as they are.
    observations: Vec<String>,
}

/// Deletes observations of entities.
#[tool(title = "Delete observations", destructive, idempotent, closed_world)]
pub(crate) fn delete_observations(args: DeleteObservations) -> Result<Json<Deleted>, Error> {
    let (count, missing) = change(|graph| {
        let (mut count, mut missing) = (0, Vec::new());
        for deletion in &args.deletions {
            let Some(entity) = graph.entity(&deletion.entity_name) else {
                missing.push(deletion.entity_name.clone());
                continue;
            };
            let before = entity.observations.len();
            entity
                .observations
                .retain(|known| !deletion.observations.contains(known));
            count += before - entity.observations.len();
        }
        Ok((count, missing))
    })?;
    let asked = args
        .deletions
        .iter()
        .map(|deletion| deletion.observations.len())
        .sum();
    Ok(deleted("observations", count, asked, &missing))
}

/// Deletes relations.
#[tool(title = "Delete relations", destructive, idempotent, closed_world)]
pub(crate) fn delete_relations(args: Relations) -> Result<Json<Deleted>, Error> {
    let asked = args.relations.len();
    let count = change(|graph| {
        let before = graph.relations.len();
        let deleted: HashSet<&Relation> = args.relations.iter().collect();
        graph
            .relations
            .retain(|line| !deleted.contains(&line.value));
        Ok(before - graph.relations.len())
    })?;
    Ok(deleted("relations", count, asked, &[]))
}

fn deleted(what: &str, count: usize, asked: usize, missing: &[String]) -> Json<Deleted> {
    let mut message = format!("deleted {count} of {asked} {what}");
    if !missing.is_empty() {
        message.push_str(&format!("; there is no entity {}", missing.join(", ")));
    }
    Json(Deleted {
        success: true,
        message,
    })
}
