//! Components made from WIT. A function returns its first argument, whatever its type.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, SizeAlign, Type, WorldId, WorldItem};

/// Parameters that need not be given, and are too many to be passed in registers. With them a
/// function gets its arguments in memory, where its first one has the layout of its result.
pub const SPILLED: &str = "p0: option<u64>, p1: option<u64>, p2: option<u64>, p3: option<u64>, p4: option<u64>, \
                           p5: option<u64>, p6: option<u64>, p7: option<u64>";

/// A component whose functions return their first argument. Each has [`SPILLED`] parameters, unless
/// its first one takes as many values itself, or is one itself.
pub fn returning(wit: &str) -> Vec<u8> {
    let (resolve, world) = resolved(wit);
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let mut module = ALLOCATING.to_owned();
    for (export, function) in functions(&resolve, world) {
        let body = body(&resolve, &sizes, function);
        writeln!(module, "(func (export \"{export}\") {body})").unwrap();
    }
    encoded(&resolve, world, &format!("(module {module})"))
}

/// A component of a core module in the text format, with the memory of [`ALLOCATING`] if it
/// contains that.
pub fn of_module(wit: &str, module: &str) -> Vec<u8> {
    let (resolve, world) = resolved(wit);
    encoded(&resolve, world, module)
}

/// A memory, and an allocator that never frees.
pub const ALLOCATING: &str = r#"
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func $grown (param $end i32)
        (block $fits
            (br_if $fits (i32.le_u (local.get $end) (i32.mul (memory.size) (i32.const 65536))))
            (if (i32.eq (i32.const -1) (memory.grow
                    (i32.add (i32.const 1) (i32.shr_u
                        (i32.sub (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
                        (i32.const 16)))))
                (then unreachable))))
    (func (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (call $grown (global.get $next))
        (local.get $at))
"#;

fn resolved(wit: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit);
    let package = package.unwrap_or_else(|error| panic!("{error:?} in {wit}"));
    let world = resolve.select_world(&[package], None).expect("one world");
    (resolve, world)
}

fn encoded(resolve: &Resolve, world: WorldId, module: &str) -> Vec<u8> {
    let mut bytes = wat::parse_str(module).unwrap_or_else(|error| panic!("{error} in {module}"));
    embed_component_metadata(&mut bytes, resolve, world, StringEncoding::UTF8)
        .expect("a world can be embedded");
    let encoder = ComponentEncoder::default().module(&bytes);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    component.unwrap_or_else(|error| panic!("{error:?}"))
}

/// The exported functions with the names of their core functions.
fn functions(resolve: &Resolve, world: WorldId) -> Vec<(String, &Function)> {
    let mut all = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            WorldItem::Function(function) => all.push((function.name.clone(), function)),
            WorldItem::Interface { id, .. } => {
                let interface = resolve.name_world_key(key);
                let functions = resolve.interfaces[*id].functions.values();
                all.extend(functions.map(|it| (format!("{interface}#{}", it.name), it)));
            }
            WorldItem::Type { .. } => {}
        }
    }
    all
}

/// What comes after the name of a core function.
fn body(resolve: &Resolve, sizes: &SizeAlign, function: &Function) -> String {
    let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
    let listed = |what: &str, types: &[WasmType]| {
        let types: Vec<&str> = types.iter().map(core_type).collect();
        format!("({what} {})", types.join(" "))
    };
    let mut text = format!(
        "{} {}",
        listed("param", &signature.params),
        listed("result", &signature.results)
    );
    match (&signature.results[..], signature.retptr) {
        ([], _) => {}
        (_, true) => {
            let name = &function.name;
            assert!(signature.indirect_params, "{name} needs SPILLED parameters");
            text += " (local.get 0)";
        }
        ([result], false) if signature.indirect_params => {
            let ty = function.result.as_ref().expect("it has a result");
            text += &format!(" ({} (local.get 0))", load(sizes, ty, result));
        }
        _ => text += " (local.get 0)",
    }
    text
}

fn load(sizes: &SizeAlign, ty: &Type, result: &WasmType) -> String {
    let name = core_type(result);
    match (name, sizes.size(ty).size_wasm32()) {
        ("i32", 1) => "i32.load8_u".to_owned(),
        ("i32", 2) => "i32.load16_u".to_owned(),
        _ => format!("{name}.load"),
    }
}

fn core_type(ty: &WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}
