//! Types of WIT and values of them, made at random: every value comes back as it went in, and fits
//! the schemas.

use serde_json::{Map, Value, json};

use super::Typed;
use crate::common::call;
use crate::common::typed::{SPILLED, returning};

/// How many types are tried, and how many values of each.
const TYPES: u64 = 60;
const VALUES: usize = 12;

enum Ty {
    Bool,
    Integer(&'static str, i128, i128),
    Float32,
    Float64,
    Char,
    Text,
    Bytes,
    List(Box<Ty>),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Tuple(Vec<Ty>),
    Record(String, Vec<(String, Ty)>),
    Variant(String, Vec<(String, Option<Ty>)>),
    Enum(String, Vec<String>),
    Flags(String, Vec<String>),
}

/// Numbers that look random and are the same each time (SplitMix).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Makes a type, and declares what has a name.
fn make(random: &mut Random, depth: usize, declared: &mut String, named: &mut usize) -> Ty {
    let mut name = |what: &str| {
        *named += 1;
        format!("{what}{named}")
    };
    let simple = 15;
    let kind = random.below(if depth == 0 { simple } else { simple + 12 });
    match kind {
        0 => Ty::Bool,
        1 => Ty::Integer("s8", i8::MIN.into(), i8::MAX.into()),
        2 => Ty::Integer("u8", 0, u8::MAX.into()),
        3 => Ty::Integer("s16", i16::MIN.into(), i16::MAX.into()),
        4 => Ty::Integer("u16", 0, u16::MAX.into()),
        5 => Ty::Integer("s32", i32::MIN.into(), i32::MAX.into()),
        6 => Ty::Integer("u32", 0, u32::MAX.into()),
        7 => Ty::Integer("s64", i64::MIN.into(), i64::MAX.into()),
        8 => Ty::Integer("u64", 0, u64::MAX.into()),
        9 => Ty::Float32,
        10 => Ty::Float64,
        11 => Ty::Char,
        12 => Ty::Text,
        13 => {
            let (name, names) = (name("e"), names(random, 40));
            *declared += &format!("enum {name} {{ {} }} ", names.join(", "));
            Ty::Enum(name, names)
        }
        14 => {
            let (name, names) = (name("g"), names(random, 32));
            *declared += &format!("flags {name} {{ {} }} ", names.join(", "));
            Ty::Flags(name, names)
        }
        15 => Ty::Bytes,
        16 | 17 => match make(random, depth - 1, declared, named) {
            Ty::Integer("u8", ..) => Ty::Bytes,
            element => Ty::List(Box::new(element)),
        },
        18 | 19 => Ty::Option(Box::new(make(random, depth - 1, declared, named))),
        20 | 21 => {
            let mut payload = || {
                let is_there = random.below(3) > 0;
                is_there.then(|| Box::new(make(random, depth - 1, declared, named)))
            };
            Ty::Result(payload(), payload())
        }
        22 => {
            let count = 1 + random.below(4);
            Ty::Tuple(
                (0..count)
                    .map(|_| make(random, depth - 1, declared, named))
                    .collect(),
            )
        }
        23 | 24 => {
            let name = name("r");
            let names = names(random, 5);
            let fields = names.into_iter();
            let fields: Vec<_> = fields
                .map(|field| (field, make(random, depth - 1, declared, named)))
                .collect();
            let listed: Vec<String> = fields
                .iter()
                .map(|(field, ty)| format!("{field}: {}", wit(ty)))
                .collect();
            *declared += &format!("record {name} {{ {} }} ", listed.join(", "));
            Ty::Record(name, fields)
        }
        _ => {
            let name = name("v");
            let names = names(random, 5);
            let cases: Vec<_> = names
                .into_iter()
                .map(|case| {
                    let is_there = random.below(3) > 0;
                    (
                        case,
                        is_there.then(|| make(random, depth - 1, declared, named)),
                    )
                })
                .collect();
            let listed = cases.iter().map(|(case, ty)| match ty {
                Some(ty) => format!("{case}({})", wit(ty)),
                None => case.clone(),
            });
            *declared += &format!(
                "variant {name} {{ {} }} ",
                listed.collect::<Vec<_>>().join(", ")
            );
            Ty::Variant(name, cases)
        }
    }
}

fn names(random: &mut Random, most: usize) -> Vec<String> {
    let count = 1 + random.below(most);
    (0..count).map(|at| format!("n{at}-of-{count}")).collect()
}

fn wit(ty: &Ty) -> String {
    match ty {
        Ty::Bool => "bool".to_owned(),
        Ty::Integer(name, ..) => (*name).to_owned(),
        Ty::Float32 => "f32".to_owned(),
        Ty::Float64 => "f64".to_owned(),
        Ty::Char => "char".to_owned(),
        Ty::Text => "string".to_owned(),
        Ty::Bytes => "list<u8>".to_owned(),
        Ty::List(element) => format!("list<{}>", wit(element)),
        Ty::Option(inner) => format!("option<{}>", wit(inner)),
        Ty::Result(ok, err) => {
            let listed = |ty: &Option<Box<Ty>>| ty.as_ref().map_or("_".to_owned(), |ty| wit(ty));
            match (ok, err) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{}>", wit(ok)),
                (ok, err) => format!("result<{}, {}>", listed(ok), listed(err)),
            }
        }
        Ty::Tuple(types) => {
            let types: Vec<String> = types.iter().map(wit).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Ty::Record(name, _) | Ty::Variant(name, _) | Ty::Enum(name, _) | Ty::Flags(name, _) => {
            name.clone()
        }
    }
}

/// A value, written by the rules of `docs/plugins.md`.
fn value(ty: &Ty, random: &mut Random) -> Value {
    match ty {
        Ty::Bool => json!(random.below(2) == 0),
        Ty::Integer(name, least, most) => {
            let span = most - least + 1;
            let number = match random.below(4) {
                0 => *least,
                1 => *most,
                _ => least + (i128::from(random.next()) % span),
            };
            match name.ends_with("64") && number.unsigned_abs() > (1 << 53) - 1 {
                true => json!(number.to_string()),
                false => json!(i64::try_from(number).unwrap()),
            }
        }
        Ty::Float32 => match random.below(5) {
            0 => json!("NaN"),
            1 => json!("-Infinity"),
            2 => json!(-0.5),
            // Exactly a 32-bit float.
            _ => json!(f64::from((random.next() as i16) as f32)),
        },
        Ty::Float64 => match random.below(5) {
            0 => json!("NaN"),
            1 => json!("Infinity"),
            _ => json!((random.next() as i64) as f64 / 1024.0),
        },
        Ty::Char => json!(letter(random).to_string()),
        Ty::Text => {
            let count = random.below(6);
            json!((0..count).map(|_| letter(random)).collect::<String>())
        }
        Ty::Bytes => json!(["", "AA==", "/+8A", "AAECAwQF"][random.below(4)]),
        Ty::List(element) => {
            let count = random.below(4);
            (0..count).map(|_| value(element, random)).collect()
        }
        Ty::Option(inner) => match random.below(3) {
            0 => Value::Null,
            _ => some(inner, random),
        },
        Ty::Result(ok, err) => match random.below(2) {
            0 => case("ok", ok.as_deref(), random),
            _ => case("err", err.as_deref(), random),
        },
        Ty::Tuple(types) => types.iter().map(|ty| value(ty, random)).collect(),
        Ty::Record(_, fields) => {
            let mut members = Map::new();
            for (name, ty) in fields {
                member(&mut members, name, ty, random);
            }
            members.into()
        }
        Ty::Variant(_, cases) => {
            let (name, payload) = &cases[random.below(cases.len())];
            case(name, payload.as_ref(), random)
        }
        Ty::Enum(_, names) => json!(names[random.below(names.len())]),
        Ty::Flags(_, names) => names
            .iter()
            .filter(|_| random.below(2) == 0)
            .cloned()
            .collect(),
    }
}

fn some(inner: &Ty, random: &mut Random) -> Value {
    let value = value(inner, random);
    match inner {
        Ty::Option(_) => json!({ "some": value }),
        _ => value,
    }
}

fn member(members: &mut Map<String, Value>, name: &str, ty: &Ty, random: &mut Random) {
    match ty {
        Ty::Option(_) if random.below(3) == 0 => {}
        Ty::Option(inner) => drop(members.insert(name.to_owned(), some(inner, random))),
        ty => drop(members.insert(name.to_owned(), value(ty, random))),
    }
}

fn case(tag: &str, payload: Option<&Ty>, random: &mut Random) -> Value {
    let mut members = Map::new();
    members.insert("tag".to_owned(), json!(tag));
    if let Some(ty) = payload {
        member(&mut members, "val", ty, random);
    }
    members.into()
}

fn letter(random: &mut Random) -> char {
    ['a', '"', '\\', '\u{0}', 'é', '😀', '\u{ffff}', ' '][random.below(8)]
}

#[tokio::test]
async fn every_value_of_every_type_comes_back_and_fits_the_schemas() {
    for seed in 0..TYPES {
        let mut random = Random(seed);
        let (mut declared, mut named) = (String::new(), 0);
        let ty = make(&mut random, 4, &mut declared, &mut named);
        // Within a list a result is a value, and no failure.
        let text = wit(&ty);
        let component = returning(&format!(
            "package test:random; interface api {{ {declared} f: func(x: list<{text}>, {SPILLED}) -> list<{text}>; }} \
             world w {{ export api; }}"
        ));
        let is_bytes = text == "u8";
        let typed = Typed::new(component).await;
        let tool = typed.host.tool("f").unwrap();
        let input = jsonschema::validator_for(&tool.input_schema).unwrap();
        let output = jsonschema::validator_for(tool.output_schema.as_ref().unwrap()).unwrap();
        for _ in 0..VALUES {
            let argument = match is_bytes {
                true => value(&Ty::Bytes, &mut random),
                false => json!([value(&ty, &mut random), value(&ty, &mut random)]),
            };
            let arguments = json!({ "x": argument });
            assert!(input.is_valid(&arguments), "{seed}: {text}: {arguments}");
            let result = typed.host.call(call("f", arguments.clone())).await;
            let outcome = result
                .outcome
                .unwrap_or_else(|error| panic!("{seed}: {declared} {text}: {arguments}: {error}"));
            let structured = outcome.structured.unwrap();
            let structured: Value = serde_json::from_str(structured.get()).unwrap();
            assert_eq!(
                structured,
                json!({ "result": argument }),
                "{seed}: {declared} {text}"
            );
            assert!(output.is_valid(&structured), "{seed}: {text}: {structured}");
        }
    }
}
