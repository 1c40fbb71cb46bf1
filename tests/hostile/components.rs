//! Components that no language makes, from WebAssembly text: pieces put into `plugin.wat`.

/// The pieces of a plugin whose one tool, `attack`, is that code.
#[derive(Default)]
struct Plugin {
    /// Before the plugin.
    components: &'static str,
    imports: &'static str,
    /// In its core module, before and after all else.
    module_imports: &'static str,
    module: &'static str,
    /// What `realloc` does, if not hand out the same page again and again.
    realloc: Option<&'static str>,
    attack: &'static str,
    /// How the core module is instantiated, if it imports something.
    instance: Option<&'static str>,
    /// What the plugin imports.
    with: &'static str,
}

/// The plugins by name, as components.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let plugins = plugins().into_iter();
    let parse = |plugin: Plugin| match wat::parse_str(plugin.text()) {
        Ok(component) => component,
        Err(error) => panic!("{error}"),
    };
    plugins
        .map(|(name, plugin)| (name, parse(plugin)))
        .collect()
}

fn plugins() -> Vec<(&'static str, Plugin)> {
    vec![
        ("quiet", Plugin::default()),
        (
            // Grows eight memories in turn until none grows any more.
            "many-memories",
            Plugin {
                module: r#"
                    (memory $b 0) (memory $c 0) (memory $d 0) (memory $e 0) (memory $f 0)
                    (memory $g 0) (memory $h 0)
                    (func $grow (result i32) (i32.const 16)
                        (i32.and (memory.grow $b) (memory.grow $c (i32.const 16)))
                        (i32.and (memory.grow $d (i32.const 16)))
                        (i32.and (memory.grow $e (i32.const 16)))
                        (i32.and (memory.grow $f (i32.const 16)))
                        (i32.and (memory.grow $g (i32.const 16)))
                        (i32.and (memory.grow $h (i32.const 16))))"#,
                attack: "(loop $on (br_if $on (i32.ne (call $grow) (i32.const -1)))) unreachable",
                ..Plugin::default()
            },
        ),
        (
            "many-tables",
            Plugin {
                module: r#"
                    (table $a 0 funcref) (table $b 0 funcref) (table $c 0 funcref)
                    (table $d 0 funcref) (table $e 0 funcref) (table $f 0 funcref)
                    (table $g 0 funcref) (table $h 0 funcref)
                    (func $grow (result i32)
                        (table.grow $a (ref.null func) (i32.const 1000))
                        (i32.and (table.grow $b (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $c (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $d (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $e (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $f (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $g (ref.null func) (i32.const 1000)))
                        (i32.and (table.grow $h (ref.null func) (i32.const 1000))))"#,
                attack: "(loop $on (br_if $on (i32.ne (call $grow) (i32.const -1)))) unreachable",
                ..Plugin::default()
            },
        ),
        (
            "deep",
            Plugin {
                module: "(func $deep (param i32) (result i32)
                    (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))",
                attack: "(drop (call $deep (i32.const 0)))",
                ..Plugin::default()
            },
        ),
        (
            // The host calls it to hand over the call's arguments.
            "deep-realloc",
            Plugin {
                realloc: Some(
                    "(i32.add (i32.const 1) (call $realloc (local.get 0) (local.get 1) (local.get 2)
                        (local.get 3)))",
                ),
                ..Plugin::default()
            },
        ),
        (
            "endless-realloc",
            Plugin {
                realloc: Some("(loop $on (br $on)) unreachable"),
                ..Plugin::default()
            },
        ),
        (
            "realloc-out-of-bounds",
            Plugin {
                realloc: Some("(i32.const 0x7fffff00)"),
                ..Plugin::default()
            },
        ),
        (
            // A content list of as many elements as can be said.
            "list-without-end",
            Plugin {
                attack: "(i32.store (i32.const 1028) (i32.const 4096))
                    (i32.store (i32.const 1032) (i32.const -1))",
                ..Plugin::default()
            },
        ),
        (
            "answer-out-of-bounds",
            Plugin {
                attack: "(return (i32.const -4))",
                ..Plugin::default()
            },
        ),
        (
            // An answer that is neither a result nor an error.
            "answer-of-no-kind",
            Plugin {
                attack: "(i32.store (i32.const 1024) (i32.const 7))",
                ..Plugin::default()
            },
        ),
        ("reentrant", reentrant()),
        ("transcoding", transcoding()),
        (
            // Two components that each grow a memory of their own until none grows any more.
            "inner-memories",
            inner(
                r#"(memory 0) (func (export "do") (result i32) (memory.grow (i32.const 16)))"#,
                "(loop $on (br_if $on (i32.ne (i32.and (call $one) (call $two)) (i32.const -1)))) unreachable",
            ),
        ),
        (
            "inner-spin",
            inner(
                r#"(func (export "do") (result i32) (loop $on (br $on)) unreachable)"#,
                "(drop (call $one))",
            ),
        ),
        (
            "inner-deep",
            inner(
                r#"(func $do (export "do") (result i32) (i32.add (call $do) (call $do)))"#,
                "(drop (call $one))",
            ),
        ),
        (
            "inner-trap",
            inner(
                r#"(func (export "do") (result i32) unreachable)"#,
                "(drop (call $one)) (drop (call $two))",
            ),
        ),
        (
            // Handles of a resource that is another component's.
            "inner-handles",
            handles("", "(loop $on (drop (call $make)) (br $on))"),
        ),
        (
            // That component says what is done when one is dropped.
            "inner-destructor",
            handles("(loop $on (br $on))", "(call $drop (call $make))"),
        ),
    ]
}

/// Lowers its own export and calls it from within: the component model has no such call.
fn reentrant() -> Plugin {
    Plugin {
        module_imports: r#"(import "shim" "table" (table 1 funcref))"#,
        module: r#"
            (type $again (func (result i32)))
            (func (export "again") (result i32) (i32.const 7))"#,
        attack: "(drop (call_indirect (type $again) (i32.const 0)))",
        instance: Some(
            r#"(core module $shim (table (export "table") 1 funcref))
            (core instance $shim (instantiate $shim))
            (core instance $instance (instantiate $module (with "shim" (instance $shim))))
            (func $own (result u32) (canon lift (core func $instance "again")))
            (core func $lowered (canon lower (func $own)))
            (core module $fill
                (import "" "table" (table 1 funcref))
                (import "" "f" (func $f (result i32)))
                (elem (i32.const 0) func $f))
            (core instance (instantiate $fill (with "" (instance
                (export "table" (table $shim "table")) (export "f" (func $lowered))))))"#,
        ),
        ..Plugin::default()
    }
}

/// Hands 1 MiB of text to another component, again and again: one has UTF-8, the other UTF-16, so
/// that each time every character is looked at.
fn transcoding() -> Plugin {
    Plugin {
        components: r#"
            (component $taker
                (core module $module
                    (memory (export "memory") 64)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                    (func (export "take") (param i32 i32)))
                (core instance $instance (instantiate $module))
                (func (export "take") (param "text" string) (canon lift (core func $instance "take")
                    (memory (core memory $instance "memory"))
                    (realloc (core func $instance "realloc"))
                    string-encoding=utf16)))
            (instance $taker (instantiate $taker))"#,
        imports: r#"(import "take" (func $take (param "text" string)))"#,
        module_imports: r#"(import "" "take" (func $take (param i32 i32)))"#,
        attack: "(loop $on (call $take (i32.const 0) (i32.const 1048576)) (br $on))",
        instance: Some(
            r#"(core module $text
                (memory (export "memory") 16)
                (func $fill (local $at i32)
                    (loop $on
                        (i32.store (local.get $at) (i32.const 0xa9c3a9c3)) ;; "éé"
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (br_if $on (i32.lt_u (local.get $at) (i32.const 1048576)))))
                (start $fill))
            (core instance $text (instantiate $text))
            (core func $lowered (canon lower (func $take) (memory (core memory $text "memory"))))
            (core instance $instance (instantiate $module (with "" (instance
                (export "take" (func $lowered))))))"#,
        ),
        with: r#"(with "take" (func $taker "take"))"#,
        ..Plugin::default()
    }
}

/// Is composed with two instances of a component that exports `do` of a core module.
fn inner(module: &str, attack: &'static str) -> Plugin {
    let components = format!(
        r#"(component $inner
            (core module $module {module})
            (core instance $instance (instantiate $module))
            (func (export "do") (result s32) (canon lift (core func $instance "do"))))
        (instance $one (instantiate $inner))
        (instance $two (instantiate $inner))"#
    );
    Plugin {
        components: components.leak(),
        imports: r#"(import "one" (func $one (result s32))) (import "two" (func $two (result s32)))"#,
        module_imports: r#"(import "" "one" (func $one (result i32)))
            (import "" "two" (func $two (result i32)))"#,
        attack,
        instance: Some(
            r#"(core func $one_ (canon lower (func $one)))
            (core func $two_ (canon lower (func $two)))
            (core instance $instance (instantiate $module (with "" (instance
                (export "one" (func $one_)) (export "two" (func $two_))))))"#,
        ),
        with: r#"(with "one" (func $one "do")) (with "two" (func $two "do"))"#,
        ..Plugin::default()
    }
}

/// Is composed with a component that makes handles, with that destructor.
fn handles(destructor: &str, attack: &'static str) -> Plugin {
    let components = format!(
        r#"(component $maker
            (core module $destructor (func (export "drop") (param i32) {destructor}))
            (core instance $destructor (instantiate $destructor))
            (type $own (resource (rep i32) (dtor (core func $destructor "drop"))))
            (export $r "r" (type $own))
            (core func $new (canon resource.new $own))
            (core module $module
                (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 1))))
            (core instance $instance (instantiate $module (with "" (instance
                (export "new" (func $new))))))
            (func (export "make") (result (own $r)) (canon lift (core func $instance "make"))))
        (instance $maker (instantiate $maker))"#
    );
    Plugin {
        components: components.leak(),
        imports: r#"(import "r" (type $r (sub resource)))
            (import "make" (func $make (result (own $r))))"#,
        module_imports: r#"(import "" "make" (func $make (result i32)))
            (import "" "drop" (func $drop (param i32)))"#,
        attack,
        instance: Some(
            r#"(core func $make_ (canon lower (func $make)))
            (core func $drop_ (canon resource.drop $r))
            (core instance $instance (instantiate $module (with "" (instance
                (export "make" (func $make_)) (export "drop" (func $drop_))))))"#,
        ),
        with: r#"(with "r" (type $maker "r")) (with "make" (func $maker "make"))"#,
        ..Plugin::default()
    }
}

impl Plugin {
    fn text(&self) -> String {
        let instance = "(core instance $instance (instantiate $module))";
        include_str!("plugin.wat")
            .replace("<components>", self.components)
            .replace("<imports>", self.imports)
            .replace("<module-imports>", self.module_imports)
            .replace("<module>", self.module)
            .replace("<realloc>", self.realloc.unwrap_or("(i32.const 65536)"))
            .replace("<attack>", self.attack)
            .replace("<instance>", self.instance.unwrap_or(instance))
            .replace("<with>", self.with)
    }
}
