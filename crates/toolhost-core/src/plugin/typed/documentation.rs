//! Documentation of functions and their types, from the comments of a `.wit` file. Components
//! carry none.

use std::path::Path;

use wit_parser::{
    Docs, Function, InterfaceId, Type, TypeDefKind, UnresolvedPackage, UnresolvedPackageGroup,
    WorldItem, WorldKey,
};

use super::shape::{Cases, Fields, Shape};

/// The most aliases of one type that are followed.
const MAX_ALIASES: usize = 100;

/// The packages of a `.wit` file.
pub(in crate::plugin) struct Documentation(Vec<UnresolvedPackage>);

impl Documentation {
    /// Reads the text of a file. What it refers to in other files is not needed.
    ///
    /// # Errors
    ///
    /// It is not WIT: why, and where.
    pub(in crate::plugin) fn parse(file: &Path, text: &str) -> Result<Documentation, String> {
        let parsed = UnresolvedPackageGroup::parse(file, text);
        let UnresolvedPackageGroup { main, nested, .. } =
            parsed.map_err(|(map, error)| format!("is not valid WIT: {}", error.render(&map)))?;
        let packages = std::iter::once(main).chain(nested);
        Ok(Documentation(packages.collect()))
    }

    /// Adds to a function's types what the file says of them. Returns what it says of the function
    /// itself.
    pub(super) fn describe(
        &self,
        interface: Option<&str>,
        name: &str,
        params: &mut Fields,
        returns: Option<&mut Shape>,
    ) -> Option<String> {
        let (package, function) = self.find(interface, name)?;
        let package = Package(package);
        for (at, param) in function.params.iter().enumerate() {
            // Of another version, it may have other parameters.
            if params.names.list.get(at) == Some(&param.name) {
                package.shape(&mut params.shapes[at], &param.ty);
            }
        }
        if let (Some(shape), Some(ty)) = (returns, &function.result) {
            package.shape(shape, ty);
        }
        text(&function.docs)
    }

    /// A function of an export such as `example:thing/api@1.0.0`, in any version, or a free one.
    fn find(&self, export: Option<&str>, name: &str) -> Option<(&UnresolvedPackage, &Function)> {
        let interface = |package: &UnresolvedPackage, wanted: &str| -> Option<InterfaceId> {
            let wanted = wanted.split('@').next().unwrap_or_default();
            match wanted.split_once('/') {
                Some((of, wanted)) => {
                    let own = &package.name;
                    let is_of = of == format!("{}:{}", own.namespace, own.name);
                    let mut all = package.interfaces.iter();
                    let found = all.find(|(_, it)| it.name.as_deref() == Some(wanted));
                    found.map(|(id, _)| id).filter(|_| is_of)
                }
                None => package.worlds.iter().find_map(|(_, world)| {
                    let key = WorldKey::Name(wanted.to_owned());
                    match world.exports.get(&key)? {
                        WorldItem::Interface { id, .. } => Some(*id),
                        _ => None,
                    }
                }),
            }
        };
        self.0.iter().find_map(|package| {
            let function = match export {
                Some(export) => {
                    let id = interface(package, export)?;
                    package.interfaces[id].functions.get(name)
                }
                None => package.worlds.iter().find_map(|(_, world)| {
                    let key = WorldKey::Name(name.to_owned());
                    match world.exports.get(&key)? {
                        WorldItem::Function(function) => Some(function),
                        _ => None,
                    }
                }),
            };
            Some((package, function?))
        })
    }
}

struct Package<'p>(&'p UnresolvedPackage);

impl<'p> Package<'p> {
    /// What a type is, behind its aliases.
    fn kind(&self, ty: &Type) -> Option<&'p TypeDefKind> {
        let mut ty = *ty;
        for _ in 0..MAX_ALIASES {
            let Type::Id(id) = ty else {
                return None;
            };
            match &self.0.types[id].kind {
                TypeDefKind::Type(alias) => ty = *alias,
                kind => return Some(kind),
            }
        }
        None
    }

    /// Adds documentation to a shape; where the file has another type, to none of it.
    fn shape(&self, shape: &mut Shape, ty: &Type) {
        let Some(kind) = self.kind(ty) else {
            return;
        };
        match (shape, kind) {
            (Shape::List(inner), TypeDefKind::List(ty))
            | (Shape::Option(inner), TypeDefKind::Option(ty)) => self.shape(inner, ty),
            (Shape::Tuple(shapes), TypeDefKind::Tuple(tuple)) => {
                let shapes = shapes.iter_mut().zip(&tuple.types);
                shapes.for_each(|(shape, ty)| self.shape(shape, ty));
            }
            (Shape::Record(fields), TypeDefKind::Record(record)) => {
                for field in &record.fields {
                    if let Some(at) = fields.names.find(&field.name) {
                        fields.docs[at] = text(&field.docs);
                        self.shape(&mut fields.shapes[at], &field.ty);
                    }
                }
            }
            (Shape::Variant(cases), TypeDefKind::Variant(variant)) => {
                for case in &variant.cases {
                    if let Some(at) = cases.names.find(&case.name) {
                        cases.docs[at] = text(&case.docs);
                        self.payload(cases, at, case.ty.as_ref());
                    }
                }
            }
            (Shape::Result(cases), TypeDefKind::Result(result)) => {
                self.payload(cases, 0, result.ok.as_ref());
                self.payload(cases, 1, result.err.as_ref());
            }
            _ => {}
        }
    }

    fn payload(&self, cases: &mut Cases, at: usize, ty: Option<&Type>) {
        if let (Some(shape), Some(ty)) = (&mut cases.payloads[at], ty) {
            self.shape(shape, ty);
        }
    }
}

/// A comment as one text, if there is any.
fn text(docs: &Docs) -> Option<String> {
    let text = docs.contents.as_deref()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
