//! Whether a component needs the concurrent engine, by what it is: see docs/adr/0024.

use std::mem;

use wasmparser::{
    CanonicalFunction, CanonicalOption, Chunk, ComponentDefinedType, ComponentType,
    ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload,
};

use super::component_size::check_type_depth;
use crate::engine::Concurrency;

/// # Errors
///
/// It uses async in a way that this host does not support.
pub(super) fn concurrency(component: &[u8]) -> Result<Concurrency, String> {
    let found = read(component);
    if !found.is_async {
        return Ok(Concurrency::Off);
    }
    // Components that call each other asynchronously could hold any number of stacks, and what they
    // send each other passes through the host's memory.
    if found.is_composed && (found.calls_or_sends || found.offering > 1) {
        return Err(
            "has async functions, streams or futures and is composed of several components, which this host does \
             not support"
                .to_owned(),
        );
    }
    Ok(Concurrency::On)
}

#[derive(Default)]
struct Found {
    /// Whether it imports WASI 0.3, or uses an async feature of the component model.
    is_async: bool,
    /// Whether a component in it has functions of its own.
    is_composed: bool,
    /// Whether it calls functions asynchronously, or has streams or futures of its own.
    calls_or_sends: bool,
    /// The number of components that offer functions asynchronously.
    offering: usize,
}

/// Reads a component up to where it is malformed, which the compiler reports better.
fn read(component: &[u8]) -> Found {
    let mut found = Found::default();
    let mut parser = Parser::new(0);
    let mut outer = Vec::new();
    let mut offers = false;
    let mut rest = component;
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) {
        rest = &rest[consumed..];
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            } => match rest.get(unchecked_range.len()..) {
                Some(after) => rest = after,
                None => break,
            },
            Payload::ComponentSection { parser: inner, .. } => {
                outer.push((mem::replace(&mut parser, inner), mem::take(&mut offers)));
            }
            Payload::End(_) => match outer.pop() {
                Some(around) => (parser, offers) = around,
                None => break,
            },
            Payload::ComponentImportSection(imports) => {
                let mut names = imports.into_iter().flatten().map(|import| import.name.name);
                found.is_async |= names.any(is_wasi3);
            }
            Payload::ComponentTypeSection(types) => {
                let section = component.get(types.range());
                // Types are read recursively.
                if section.is_none_or(|section| check_type_depth(section).is_err()) {
                    break;
                }
                found.is_async |= types.into_iter().flatten().any(|ty| is_async_type(&ty));
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.into_iter().flatten() {
                    found.is_async |= is_async_function(&function);
                    found.is_composed |= !outer.is_empty() && !is_of_resource(&function);
                    if !is_async_function(&function) || only_serves(&function) {
                        continue;
                    }
                    if !matches!(function, CanonicalFunction::Lift { .. }) {
                        found.calls_or_sends = true;
                    } else if !mem::replace(&mut offers, true) {
                        found.offering += 1;
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn is_wasi3(import: &str) -> bool {
    let version = import.split_once('@').map_or("", |(_, version)| version);
    import.starts_with("wasi:") && version.starts_with("0.3.")
}

fn is_async_type(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Func(function) => function.async_,
        ComponentType::Defined(defined) => matches!(
            defined,
            ComponentDefinedType::Future(_) | ComponentDefinedType::Stream(_)
        ),
        ComponentType::Component(declared) => declared.iter().any(|it| match it {
            ComponentTypeDeclaration::Type(ty) => is_async_type(ty),
            ComponentTypeDeclaration::Import(import) => is_wasi3(import.name.name),
            _ => false,
        }),
        ComponentType::Instance(declared) => declared.iter().any(|it| match it {
            InstanceTypeDeclaration::Type(ty) => is_async_type(ty),
            _ => false,
        }),
        ComponentType::Resource { .. } => false,
    }
}

fn is_of_resource(function: &CanonicalFunction) -> bool {
    use CanonicalFunction as Function;
    matches!(
        function,
        Function::ResourceNew { .. } | Function::ResourceDrop { .. } | Function::ResourceRep { .. }
    )
}

/// Everything that is not of WASI 0.2 is async.
fn is_async_function(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.iter().any(|option| {
                matches!(
                    option,
                    CanonicalOption::Async | CanonicalOption::Callback(_)
                )
            })
        }
        function => !is_of_resource(function),
    }
}

/// Whether a built-in serves the task that runs. That of a component whose bindings generator knows
/// async, but which does not use it, has some of these.
fn only_serves(function: &CanonicalFunction) -> bool {
    use CanonicalFunction as Function;
    matches!(
        function,
        Function::BackpressureInc
            | Function::BackpressureDec
            | Function::TaskReturn { .. }
            | Function::TaskCancel
            | Function::ContextGet { .. }
            | Function::ContextSet { .. }
            | Function::ThreadYield { .. }
            | Function::SubtaskDrop
            | Function::SubtaskCancel { .. }
            | Function::WaitableSetNew
            | Function::WaitableSetWait { .. }
            | Function::WaitableSetPoll { .. }
            | Function::WaitableSetDrop
            | Function::WaitableJoin
    )
}
