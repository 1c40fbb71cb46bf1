//! [`Shape`]: the type of a value as JSON and the component model both have it, made from a
//! component's type once, at load.

use std::collections::HashMap;
use std::fmt::Write;

use wasmtime::component::Type;
use wasmtime::component::types::Variant;

/// The most nested types. JSON nests as deep, and its readers may not accept more than 128.
const MAX_DEPTH: usize = 60;

/// The most types in one function; a named type counts at each place that uses it.
const MAX_TYPES: usize = 2000;

/// The longest signature in a description, in bytes.
const MAX_SIGNATURE: usize = 400;

/// The type of a value.
pub(super) enum Shape {
    Bool,
    Integer(Integer),
    Float32,
    Float64,
    Char,
    String,
    /// `list<u8>`
    Bytes,
    List(Box<Shape>),
    Record(Fields),
    Tuple(Vec<Shape>),
    Variant(Cases),
    Result(Cases),
    Enum(Names),
    Option(Box<Shape>),
    Flags(Names),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Integer {
    /// Its smallest and largest value.
    pub(super) fn range(self) -> [i128; 2] {
        match self {
            Integer::S8 => [i8::MIN.into(), i8::MAX.into()],
            Integer::U8 => [0, u8::MAX.into()],
            Integer::S16 => [i16::MIN.into(), i16::MAX.into()],
            Integer::U16 => [0, u16::MAX.into()],
            Integer::S32 => [i32::MIN.into(), i32::MAX.into()],
            Integer::U32 => [0, u32::MAX.into()],
            Integer::S64 => [i64::MIN.into(), i64::MAX.into()],
            Integer::U64 => [0, u64::MAX.into()],
        }
    }

    /// Whether JSON numbers cannot hold all of its values everywhere.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Integer::S64 | Integer::U64)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Integer::S8 => "s8",
            Integer::U8 => "u8",
            Integer::S16 => "s16",
            Integer::U16 => "u16",
            Integer::S32 => "s32",
            Integer::U32 => "u32",
            Integer::S64 => "s64",
            Integer::U64 => "u64",
        }
    }
}

/// Names with their positions.
pub(super) struct Names {
    pub(super) list: Vec<String>,
    index: HashMap<String, usize>,
}

impl Names {
    fn new<'n>(names: impl Iterator<Item = &'n str>) -> Names {
        let list: Vec<String> = names.map(str::to_owned).collect();
        let index = list.iter().cloned().zip(0..).collect();
        Names { list, index }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

/// The fields of a record, or the parameters of a function.
pub(super) struct Fields {
    pub(super) names: Names,
    pub(super) shapes: Vec<Shape>,
    pub(super) docs: Vec<Option<String>>,
}

impl Fields {
    pub(super) fn new(fields: Vec<(String, Shape)>) -> Fields {
        let (names, shapes): (Vec<String>, _) = fields.into_iter().unzip();
        Fields {
            docs: vec![None; names.len()],
            names: Names::new(names.iter().map(String::as_str)),
            shapes,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Shape, Option<&str>)> {
        let names = self.names.list.iter().zip(&self.shapes).zip(&self.docs);
        names.map(|((name, shape), docs)| (&**name, shape, docs.as_deref()))
    }
}

/// The cases of a variant, or of a result: `ok` and `err`.
pub(super) struct Cases {
    pub(super) names: Names,
    pub(super) payloads: Vec<Option<Shape>>,
    pub(super) docs: Vec<Option<String>>,
}

impl Shape {
    /// Whether `null` is one of its values: then an option around it wraps its values in
    /// `{"some": …}`.
    pub(super) fn is_nullable(&self) -> bool {
        matches!(self, Shape::Option(_))
    }

    /// Whether all of its values are JSON objects.
    pub(super) fn is_object(&self) -> bool {
        matches!(
            self,
            Shape::Record(_) | Shape::Variant(_) | Shape::Result(_)
        )
    }
}

/// Makes shapes, within the bounds of one function.
pub(super) struct Shaper {
    left: usize,
}

impl Shaper {
    pub(super) fn new() -> Shaper {
        Shaper { left: MAX_TYPES }
    }

    /// The types that were used.
    pub(super) fn used(&self) -> usize {
        MAX_TYPES - self.left
    }

    /// # Errors
    ///
    /// Why there are no such values in JSON, as the end of a sentence: "a resource".
    pub(super) fn shape(&mut self, ty: &Type) -> Result<Shape, String> {
        self.at_depth(ty, 0)
    }

    fn at_depth(&mut self, ty: &Type, depth: usize) -> Result<Shape, String> {
        if depth == MAX_DEPTH {
            return Err(format!("types nested more than {MAX_DEPTH} deep"));
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(format!(
                "more than {MAX_TYPES} types, counted wherever they are used"
            ));
        };
        self.left = left;
        let below = depth + 1;
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Integer(Integer::S8),
            Type::U8 => Shape::Integer(Integer::U8),
            Type::S16 => Shape::Integer(Integer::S16),
            Type::U16 => Shape::Integer(Integer::U16),
            Type::S32 => Shape::Integer(Integer::S32),
            Type::U32 => Shape::Integer(Integer::U32),
            Type::S64 => Shape::Integer(Integer::S64),
            Type::U64 => Shape::Integer(Integer::U64),
            Type::Float32 => Shape::Float32,
            Type::Float64 => Shape::Float64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Shape::Bytes,
                element => Shape::List(Box::new(self.at_depth(&element, below)?)),
            },
            Type::Record(record) => {
                let fields = record.fields().map(|field| {
                    let shape = self.at_depth(&field.ty, below)?;
                    Ok((field.name.to_owned(), shape))
                });
                Shape::Record(Fields::new(fields.collect::<Result<_, String>>()?))
            }
            Type::Tuple(tuple) => {
                let types = tuple.types().map(|ty| self.at_depth(&ty, below));
                Shape::Tuple(types.collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => Shape::Variant(self.cases(variant, below)?),
            Type::Enum(names) => Shape::Enum(self.names(names.names())?),
            Type::Option(option) => Shape::Option(Box::new(self.at_depth(&option.ty(), below)?)),
            Type::Result(result) => {
                let mut payload = |ty: Option<Type>| -> Result<Option<Shape>, String> {
                    ty.map(|ty| self.at_depth(&ty, below)).transpose()
                };
                Shape::Result(Cases {
                    names: Names::new(["ok", "err"].into_iter()),
                    payloads: vec![payload(result.ok())?, payload(result.err())?],
                    docs: vec![None; 2],
                })
            }
            Type::Flags(flags) => Shape::Flags(self.names(flags.names())?),
            Type::Own(_) | Type::Borrow(_) => return Err("a resource".to_owned()),
            Type::Future(_) => return Err("a future".to_owned()),
            Type::Stream(_) => return Err("a stream".to_owned()),
            Type::ErrorContext => return Err("an error context".to_owned()),
            Type::Map(_) => return Err("a map".to_owned()),
            Type::FixedLengthList(_) => return Err("a list of fixed length".to_owned()),
        })
    }

    /// Names are counted like types: each is written into schemas.
    fn names<'n>(
        &mut self,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) -> Result<Names, String> {
        let Some(left) = self.left.checked_sub(names.len()) else {
            return Err(format!("more than {MAX_TYPES} names in its types"));
        };
        self.left = left;
        Ok(Names::new(names))
    }

    fn cases(&mut self, variant: &Variant, depth: usize) -> Result<Cases, String> {
        let names = self.names(variant.cases().map(|case| case.name))?;
        let payloads = variant.cases().map(|case| {
            let payload = case.ty.map(|ty| self.at_depth(&ty, depth));
            payload.transpose()
        });
        Ok(Cases {
            payloads: payloads.collect::<Result<_, _>>()?,
            docs: vec![None; names.list.len()],
            names,
        })
    }
}

/// The signature of a function in the notation of WIT, cut if it is long. Names of types are not
/// in a component's types, so types are written out.
pub(super) fn signature(name: &str, params: &Fields, result: Option<&Shape>) -> String {
    let mut text = Signature(String::new());
    // An error only means that it is cut.
    let whole = write!(text, "{name}: func(")
        .and_then(|()| text.fields(params))
        .and_then(|()| text.write_str(")"))
        .and_then(|()| match result {
            None => Ok(()),
            Some(shape) => text.write_str(" -> ").and_then(|()| text.shape(shape)),
        });
    let Signature(mut text) = text;
    if whole.is_err() {
        text.push('…');
    }
    text
}

/// Text of bounded length.
struct Signature(String);

impl Write for Signature {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_SIGNATURE {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Signature {
    fn separated<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Signature, T) -> std::fmt::Result,
    ) -> std::fmt::Result {
        for (number, item) in items.enumerate() {
            if number > 0 {
                self.write_str(", ")?;
            }
            write(self, item)?;
        }
        Ok(())
    }

    fn fields(&mut self, fields: &Fields) -> std::fmt::Result {
        self.separated(fields.iter(), |text, (name, shape, _)| {
            write!(text, "{name}: ")?;
            text.shape(shape)
        })
    }

    fn shape(&mut self, shape: &Shape) -> std::fmt::Result {
        match shape {
            Shape::Bool => self.write_str("bool"),
            Shape::Integer(integer) => self.write_str(integer.name()),
            Shape::Float32 => self.write_str("f32"),
            Shape::Float64 => self.write_str("f64"),
            Shape::Char => self.write_str("char"),
            Shape::String => self.write_str("string"),
            Shape::Bytes => self.write_str("list<u8>"),
            Shape::List(element) => self.around("list<", ">", |text| text.shape(element)),
            Shape::Option(inner) => self.around("option<", ">", |text| text.shape(inner)),
            Shape::Record(fields) => self.around("record { ", " }", |text| text.fields(fields)),
            Shape::Tuple(shapes) => self.around("tuple<", ">", |text| {
                text.separated(shapes.iter(), Signature::shape)
            }),
            Shape::Variant(cases) => self.around("variant { ", " }", |text| {
                let cases = cases.names.list.iter().zip(&cases.payloads);
                text.separated(cases, |text, (name, payload)| {
                    text.write_str(name)?;
                    match payload {
                        None => Ok(()),
                        Some(shape) => text.around("(", ")", |text| text.shape(shape)),
                    }
                })
            }),
            Shape::Result(cases) => match &cases.payloads[..] {
                [None, None] => self.write_str("result"),
                payloads => self.around("result<", ">", |text| {
                    let given = match payloads {
                        [_, None] => &payloads[..1],
                        _ => payloads,
                    };
                    text.separated(given.iter(), |text, payload| match payload {
                        None => text.write_str("_"),
                        Some(shape) => text.shape(shape),
                    })
                }),
            },
            Shape::Enum(names) => self.named("enum", names),
            Shape::Flags(names) => self.named("flags", names),
        }
    }

    fn named(&mut self, what: &str, names: &Names) -> std::fmt::Result {
        write!(self, "{what} {{ ")?;
        self.separated(names.list.iter(), |text, name| text.write_str(name))?;
        self.write_str(" }")
    }

    fn around(
        &mut self,
        before: &str,
        after: &str,
        inside: impl FnOnce(&mut Signature) -> std::fmt::Result,
    ) -> std::fmt::Result {
        self.write_str(before)?;
        inside(self)?;
        self.write_str(after)
    }
}
