//! The size of a component with everything that it instantiates. A compiler unfolds all of that, so
//! a thousand bytes in which each component instantiates the one before twice would fill any
//! memory.

use std::mem;

use wasmparser::{
    BinaryReader, BinaryReaderError, Chunk, ComponentAlias, ComponentExternalKind,
    ComponentInstance, ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration,
    ComponentTypeRef, Parser, Payload,
};

/// The most bytes of sections, of which a compiler makes about thirty times as much. Plugins have a
/// few thousand.
const MAX_UNFOLDED: u64 = 8 << 20;

/// The cost of an instance beside its sections.
const INSTANCE: u64 = 32;

/// The cost of each export of an instance, nested ones included: a compiler stores them again
/// wherever the instance is exported.
const EXPORT: u64 = 64;

/// The most nested types, as in validation. They are read recursively before that.
const MAX_TYPE_DEPTH: usize = 100;

/// The most nested components. A compiler takes seconds for ten thousand, and minutes for twice as
/// many.
const MAX_DEPTH: usize = 100;

/// What has been read of one component.
#[derive(Default)]
struct Read {
    /// Bytes of its sections, and of those of everything it instantiates.
    unfolded: u64,
    /// The number of its exports, nested ones included.
    exports: u64,
    /// The components that it knows, by index.
    components: Vec<ReadComponent>,
    /// The number of exports of the instances that it knows, by index.
    instances: Vec<u64>,
}

/// A component that has been read.
#[derive(Clone, Copy)]
struct ReadComponent {
    unfolded: u64,
    exports: u64,
}

/// Why reading stopped.
pub(super) enum UnfoldError {
    Refused(String),
    /// Malformed: the compiler reports that better.
    Malformed,
}

impl From<BinaryReaderError> for UnfoldError {
    fn from(_: BinaryReaderError) -> Self {
        UnfoldError::Malformed
    }
}

/// # Errors
///
/// It is too large, or its size cannot be determined.
pub(super) fn check(component: &[u8]) -> Result<(), String> {
    match read(component) {
        Err(UnfoldError::Refused(why)) => Err(why),
        Ok(()) | Err(UnfoldError::Malformed) => Ok(()),
    }
}

fn read(component: &[u8]) -> Result<(), UnfoldError> {
    let refused = |why: String| Err(UnfoldError::Refused(why));
    let mut parser = Parser::new(0);
    let mut rest = component;
    let mut around: Vec<(Parser, Read)> = Vec::new();
    let mut read = Read::default();
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
            return Err(UnfoldError::Malformed);
        };
        rest = &rest[consumed..];
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                rest = rest
                    .get(unchecked_range.len()..)
                    .ok_or(UnfoldError::Malformed)?;
            }
            Payload::ComponentSection { parser: inner, .. } => {
                if around.len() == MAX_DEPTH {
                    return refused(format!(
                        "has components within components, more than {MAX_DEPTH} deep"
                    ));
                }
                around.push((mem::replace(&mut parser, inner), mem::take(&mut read)));
            }
            Payload::End(_) => {
                let Some((outer, outside)) = around.pop() else {
                    return Ok(());
                };
                parser = outer;
                let inside = mem::replace(&mut read, outside);
                read.components.push(ReadComponent {
                    unfolded: inside.unfolded,
                    exports: inside.exports,
                });
            }
            section => {
                if let Payload::ComponentTypeSection(types) = &section {
                    let bytes = component.get(types.range()).ok_or(UnfoldError::Malformed)?;
                    check_type_depth(bytes)?;
                }
                read.section(section, &around)?;
            }
        }
        if read.unfolded > MAX_UNFOLDED {
            return refused(format!(
                "has more than {} MiB of sections with those of all components that it instantiates",
                MAX_UNFOLDED >> 20
            ));
        }
    }
}

/// Checks the nesting of a type section, without recursion.
pub(super) fn check_type_depth(section: &[u8]) -> Result<(), UnfoldError> {
    const A_TYPE: u8 = 0x01;
    const COMPONENT: u8 = 0x41;
    const INSTANCE: u8 = 0x42;
    let mut reader = BinaryReader::new(section, 0);
    // What remains at each level: types of the section, and declarations of each enclosing type.
    let mut left = vec![reader.read_var_u32()?];
    while let Some(count) = left.last_mut() {
        if *count == 0 {
            left.pop();
            continue;
        }
        *count -= 1;
        let mut ahead = reader.clone();
        if left.len() > 1 && ahead.read_u8()? != A_TYPE {
            // All other declarations refer to types and contain none.
            let _: ComponentTypeDeclaration = reader.read()?;
            continue;
        }
        if left.len() > 1 {
            reader = ahead;
        }
        let mut ahead = reader.clone();
        match ahead.read_u8()? {
            COMPONENT | INSTANCE => {
                if left.len() > MAX_TYPE_DEPTH {
                    let why = format!("has types within types, more than {MAX_TYPE_DEPTH} deep");
                    return Err(UnfoldError::Refused(why));
                }
                reader = ahead;
                left.push(reader.read_var_u32()?);
            }
            _ => {
                let _: ComponentType = reader.read()?;
            }
        }
    }
    Ok(())
}

impl Read {
    fn section(
        &mut self,
        section: Payload<'_>,
        around: &[(Parser, Read)],
    ) -> Result<(), UnfoldError> {
        let Some((_, bytes)) = section.as_section() else {
            return Ok(());
        };
        let unclear = || {
            let why = "imports components, whose size is unknown";
            Err(UnfoldError::Refused(why.to_owned()))
        };
        match section {
            Payload::CustomSection(_) => return Ok(()),
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    let exports = match instance? {
                        ComponentInstance::Instantiate {
                            component_index, ..
                        } => {
                            let ReadComponent { unfolded, exports } =
                                self.known(component_index)?;
                            self.add(INSTANCE.saturating_add(unfolded));
                            exports
                        }
                        ComponentInstance::FromExports(list) => {
                            let mut all: u64 = 0;
                            for export in &list {
                                let inside = self.exported(export.kind, export.index)?;
                                all = all.saturating_add(inside);
                            }
                            self.add(all.saturating_mul(EXPORT));
                            all
                        }
                    };
                    self.instances.push(exports);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    match alias? {
                        ComponentAlias::Outer {
                            kind: ComponentOuterAliasKind::Component,
                            count,
                            index,
                        } => {
                            let known = match count as usize {
                                0 => self.known(index),
                                count => {
                                    let of = around.len().checked_sub(count);
                                    let (_, of) = &around[of.ok_or(UnfoldError::Malformed)?];
                                    of.known(index)
                                }
                            };
                            self.components.push(known?);
                        }
                        ComponentAlias::InstanceExport {
                            kind: ComponentExternalKind::Component,
                            ..
                        } => return unclear(),
                        ComponentAlias::InstanceExport {
                            kind: ComponentExternalKind::Instance,
                            instance_index,
                            ..
                        } => {
                            // It is no more than a part of that.
                            let whole = self.instance(instance_index)?;
                            self.instances.push(whole);
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    match import?.ty {
                        ComponentTypeRef::Component(_) => return unclear(),
                        // Validation bounds what its type declares.
                        ComponentTypeRef::Instance(_) => {
                            let heaviest = self.instances.iter().max().copied();
                            self.instances.push(heaviest.unwrap_or(1));
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let all = self.exported(export.kind, export.index)?;
                    self.exports = self.exports.saturating_add(all);
                    self.add(all.saturating_mul(EXPORT));
                    match export.kind {
                        ComponentExternalKind::Component => {
                            self.components.push(self.known(export.index)?);
                        }
                        ComponentExternalKind::Instance => {
                            self.instances.push(self.instance(export.index)?);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.add(bytes.len() as u64);
        Ok(())
    }

    fn add(&mut self, bytes: u64) {
        self.unfolded = self.unfolded.saturating_add(bytes);
    }

    fn known(&self, component: u32) -> Result<ReadComponent, UnfoldError> {
        let known = self.components.get(component as usize);
        known.copied().ok_or(UnfoldError::Malformed)
    }

    fn instance(&self, instance: u32) -> Result<u64, UnfoldError> {
        let known = self.instances.get(instance as usize);
        known.copied().ok_or(UnfoldError::Malformed)
    }

    /// The number of exports that one export counts for.
    fn exported(&self, kind: ComponentExternalKind, index: u32) -> Result<u64, UnfoldError> {
        match kind {
            ComponentExternalKind::Instance => Ok(self.instance(index)?.saturating_add(1)),
            _ => Ok(1),
        }
    }
}
