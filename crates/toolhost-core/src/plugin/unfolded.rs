//! How large a component is once all that it instantiates is unfolded. A compiler does so, and a thousand bytes in
//! which each component instantiates two of the one before would fill any memory.

use std::mem;

use wasmparser::{
    BinaryReader, BinaryReaderError, Chunk, ComponentAlias, ComponentExternalKind,
    ComponentInstance, ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration,
    ComponentTypeRef, Parser, Payload,
};

/// Bytes of sections, of which a compiler makes some thirty times as much. Plugins have a few thousand.
const MOST: u64 = 8 << 20;

/// What an instance weighs beside its sections.
const INSTANCE: u64 = 32;

/// What each export of an instance weighs, and of those within: a compiler keeps them anew wherever one is exported.
const EXPORT: u64 = 64;

/// Types within types, of which validation takes as many. They are read by recursion, before that.
const MAX_TYPE_DEPTH: usize = 100;

/// Components within components. A compiler takes seconds for some ten thousand, and minutes for twice as many.
const MAX_DEPTH: usize = 100;

/// What has been read of one component.
#[derive(Default)]
struct Read {
    /// Bytes of its sections, and of those of all that it instantiates.
    unfolded: u64,
    /// How many exports it has, with those of the instances among them.
    exports: u64,
    /// The components that it knows, by index.
    components: Vec<Known>,
    /// The exports of the instances that it knows, by index.
    instances: Vec<u64>,
}

/// A component that has been read.
#[derive(Clone, Copy)]
struct Known {
    unfolded: u64,
    exports: u64,
}

/// Why it is not read to its end.
enum Halt {
    Refused(String),
    /// What is wrong the compiler says better.
    Malformed,
}

impl From<BinaryReaderError> for Halt {
    fn from(_: BinaryReaderError) -> Self {
        Halt::Malformed
    }
}

/// # Errors
///
/// It is too large, or that cannot be told.
pub(super) fn check(component: &[u8]) -> Result<(), String> {
    match read(component) {
        Err(Halt::Refused(why)) => Err(why),
        Ok(()) | Err(Halt::Malformed) => Ok(()),
    }
}

fn read(component: &[u8]) -> Result<(), Halt> {
    let refused = |why: String| Err(Halt::Refused(why));
    let mut parser = Parser::new(0);
    let mut rest = component;
    let mut around: Vec<(Parser, Read)> = Vec::new();
    let mut read = Read::default();
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
            return Err(Halt::Malformed);
        };
        rest = &rest[consumed..];
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                rest = rest.get(unchecked_range.len()..).ok_or(Halt::Malformed)?;
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
                read.components.push(Known {
                    unfolded: inside.unfolded,
                    exports: inside.exports,
                });
            }
            section => {
                if let Payload::ComponentTypeSection(types) = &section {
                    let bytes = component.get(types.range()).ok_or(Halt::Malformed)?;
                    check_type_depth(bytes)?;
                }
                read.section(section, &around)?;
            }
        }
        if read.unfolded > MOST {
            return refused(format!(
                "has more than {} MiB of sections with those of all components that it instantiates",
                MOST >> 20
            ));
        }
    }
}

/// Reads a section of types, without recursion where types hold types.
fn check_type_depth(section: &[u8]) -> Result<(), Halt> {
    const A_TYPE: u8 = 0x01;
    const COMPONENT: u8 = 0x41;
    const INSTANCE: u8 = 0x42;
    let mut reader = BinaryReader::new(section, 0);
    // What is still to be read at each level: types of the section, and declarations of each type around.
    let mut left = vec![reader.read_var_u32()?];
    while let Some(count) = left.last_mut() {
        if *count == 0 {
            left.pop();
            continue;
        }
        *count -= 1;
        let mut ahead = reader.clone();
        if left.len() > 1 && ahead.read_u8()? != A_TYPE {
            // All other declarations name types, and hold none.
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
                    return Err(Halt::Refused(why));
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
    fn section(&mut self, section: Payload<'_>, around: &[(Parser, Read)]) -> Result<(), Halt> {
        let Some((_, bytes)) = section.as_section() else {
            return Ok(());
        };
        let unclear = || {
            let why = "imports components, whose size is unknown";
            Err(Halt::Refused(why.to_owned()))
        };
        match section {
            Payload::CustomSection(_) => return Ok(()),
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    let exports = match instance? {
                        ComponentInstance::Instantiate {
                            component_index, ..
                        } => {
                            let Known { unfolded, exports } = self.known(component_index)?;
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
                                    let (_, of) = &around[of.ok_or(Halt::Malformed)?];
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
                        // Validation bounds what its type says.
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

    fn known(&self, component: u32) -> Result<Known, Halt> {
        let known = self.components.get(component as usize);
        known.copied().ok_or(Halt::Malformed)
    }

    fn instance(&self, instance: u32) -> Result<u64, Halt> {
        let known = self.instances.get(instance as usize);
        known.copied().ok_or(Halt::Malformed)
    }

    /// How many exports one export is.
    fn exported(&self, kind: ComponentExternalKind, index: u32) -> Result<u64, Halt> {
        match kind {
            ComponentExternalKind::Instance => Ok(self.instance(index)?.saturating_add(1)),
            _ => Ok(1),
        }
    }
}
