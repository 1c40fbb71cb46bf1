//! What the manifest and the command say of functions: `tools`, `rename`, `describe`, `wit`, and `inspect`.

use serde_json::json;

use crate::common::binary::Folder;
use crate::common::typed::{SPILLED, returning};
use crate::common::{call, load, plugin, text};
use toolhost::manifest::Manifest;

const WIT: &str = "package test:typed@1.0.0;
/// Shapes.
interface shapes {
    /// A size in millimetres.
    record size {
        /// From left to right.
        width: u32,
        height: u32,
    }
    /// Scales a size.
    ///
    /// Never by more than ten.
    scale: func(x: size, SPILLED) -> size;
    plain: func(x: u32) -> u32;
}
world w { export shapes; }
";

fn wit() -> String {
    WIT.replace("SPILLED", SPILLED)
}

fn folder(manifest: &str) -> Folder {
    let folder = Folder::with(manifest);
    folder.write("shapes.wasm", returning(&wit()));
    folder.write("shapes.wit", wit());
    folder
}

fn read(folder: &Folder) -> Manifest {
    Manifest::read(folder.path().join("toolhost.toml")).unwrap()
}

#[tokio::test]
async fn comments_of_the_wit_file_are_descriptions() {
    let folder = folder("[plugin.shapes]\npath = \"shapes.wasm\"\nwit = \"shapes.wit\"\n");
    let host = load(read(&folder)).await;
    let scale = host.tool("scale").unwrap();
    assert_eq!(
        scale.description,
        "Scales a size.\n\nNever by more than ten."
    );
    let size = &scale.input_schema["properties"]["x"]["properties"];
    assert_eq!(size["width"]["description"], "From left to right.");
    let output = scale.output_schema.as_ref().unwrap();
    assert_eq!(
        output["properties"]["width"]["description"],
        "From left to right."
    );
    let plugins: Vec<_> = host.plugins().collect();
    let notes: Vec<&str> = plugins[0].notes.iter().map(|note| &*note.tool).collect();
    assert_eq!(notes, ["plain"]);
}

#[tokio::test]
async fn the_manifest_renames_describes_and_chooses() {
    let folder = folder(
        "[plugin.shapes]\npath = \"shapes.wasm\"\nprefix = \"s_\"\ntools = [\"scale\"]\n\
         rename.scale = \"resize\"\ndescribe.scale = \"Makes it larger.\"\ndescribe.\"scale.x\" = \"What to scale.\"\n",
    );
    let host = load(read(&folder)).await;
    let names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["s_resize"]);
    let tool = host.tool("s_resize").unwrap();
    assert_eq!(tool.description, "Makes it larger.");
    assert_eq!(
        tool.input_schema["properties"]["x"]["description"],
        "What to scale."
    );
    let size = json!({ "width": 1, "height": 2 });
    let result = host.call(call("s_resize", json!({ "x": size }))).await;
    assert_eq!(text(&result), r#"{"width":1,"height":2}"#);
}

#[tokio::test]
async fn allowed_callers_are_those_of_the_function_by_any_of_its_names() {
    for name in ["scale", "test:typed/shapes@1.0.0#scale"] {
        let folder = folder(&format!(
            "[plugin.shapes]\npath = \"shapes.wasm\"\nallowed-callers.\"{name}\" = [\"direct\"]\n"
        ));
        let host = load(read(&folder)).await;
        assert_eq!(
            host.tool("scale").unwrap().allowed_callers,
            ["direct"],
            "{name}"
        );
        assert!(host.tool("plain").unwrap().allowed_callers.is_empty());
    }
}

#[tokio::test]
async fn tools_of_the_plugin_interface_are_renamed_and_described_too() {
    let mut echo = plugin("echo");
    let at = super::at();
    echo.rename
        .insert("echo".to_owned(), ("repeat".to_owned(), at));
    echo.describe
        .insert("echo".to_owned(), ("Repeats.".to_owned(), at));
    echo.describe
        .insert("echo.text".to_owned(), ("What to repeat.".to_owned(), at));
    let host = load(crate::common::manifest([echo])).await;
    let tool = host.tool("repeat").unwrap();
    assert_eq!(tool.description, "Repeats.");
    assert_eq!(
        tool.input_schema["properties"]["text"]["description"],
        "What to repeat."
    );
    assert_eq!(
        text(&host.call(call("repeat", json!({ "text": "hi" }))).await),
        "hi"
    );
}

#[test]
fn names_that_do_not_exist_are_errors_with_their_line() {
    for (line, words) in [
        ("rename.scal = \"resize\"", "did you mean `scale`?"),
        ("describe.scal = \"Scales.\"", "did you mean `scale`?"),
        (
            "describe.\"scale.y\" = \"No.\"",
            "an argument `y`, which `scale` does not have",
        ),
        ("tools = [\"scal\"]", "did you mean `scale`?"),
        ("rename.scale = \"a b\"", "is not a tool name"),
        ("wit = \"none.wit\"", "none.wit"),
        ("wit = \"shapes.wasm\"", "shapes.wasm"),
        ("wit = \"toolhost.toml\"", "is not valid WIT"),
    ] {
        let folder = folder(&format!(
            "[plugin.shapes]\npath = \"shapes.wasm\"\n{line}\n"
        ));
        folder.run(&["check"], "").failed(words);
    }
}

#[test]
fn inspect_shows_schemas_and_what_is_missing() {
    let folder = folder("");
    let ended = folder.run(&["inspect", "shapes.wasm"], "").answered();
    for words in [
        "test:typed/shapes@1.0.0",
        "  scale: test:typed/shapes@1.0.0#scale: func(x: record { width: u32, height: u32 }, p0: ",
        "    arguments: {\"type\":\"object\",\"properties\":{\"x\":",
        "    output: {\"type\":\"object\"",
        "note: `plain` has no description but its signature: set `describe.plain`",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
}

#[test]
fn check_and_list_know_them_as_they_know_plugins() {
    let folder = folder("[plugin.shapes]\npath = \"shapes.wasm\"\n");
    let ended = folder.run(&["check"], "").answered();
    assert!(
        ended.stdout.contains("tools: scale, plain"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("note: `plain` has no description"),
        "{}",
        ended.stdout
    );
    let ended = folder.run(&["list"], "").answered();
    assert!(ended.stdout.contains("scale"), "{}", ended.stdout);
    let ended = folder.run(&["call", "plain", r#"{"x": 4}"#], "").answered();
    assert_eq!(ended.stdout.trim(), "4");
}
