//! The frames: what the client and the host send, one JSON object per line. `docs/pipe.md` describes the protocol, and
//! `docs/pipe.schema.json` is the [`schema`] of every frame.

mod content;
mod from_client;
mod from_host;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub use content::Block;
pub use from_client::{
    Answer, AnswerError, Call, ClientFrame, ClientHello, Declare, FrameId, InvalidFrame,
    ManifestSource, Reload, Run, StreamData, StreamEnd, StreamKind, ToolDeclaration, ToolList,
};
pub use from_host::{
    CallRequest, Done, ErrorCode, ErrorFrame, HostFrame, HostHello, IndexedResult, LeftOutTool,
    ResultBody, ResultFrame, RunFailure, ToolsFrame,
};

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// The longest frame that the host reads, in bytes without the newline.
pub const MAX_FRAME: usize = 64 << 20;

/// The JSON Schema of every frame: `#/$defs/client` of those that the client sends, `#/$defs/host` of the host's.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    // What the host leaves out of its frames is optional in them.
    let mut of_host = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let mut frames = Map::new();
    let client = [
        frame::<ClientHello>("hello", &mut generator),
        frame::<ToolList>("tools", &mut generator),
        frame::<Declare>("declare", &mut generator),
        frame::<Run>("run", &mut generator),
        frame::<StreamData>("data", &mut generator),
        frame::<StreamEnd>("end", &mut generator),
        frame::<FrameId>("cancel", &mut generator),
        frame::<Answer>("answer", &mut generator),
        frame::<Reload>("reload", &mut generator),
    ];
    let host = [
        frame::<HostHello>("hello", &mut of_host),
        frame::<ErrorFrame>("error", &mut of_host),
        frame::<FrameId>("ok", &mut of_host),
        frame::<ToolsFrame>("tools", &mut of_host),
        frame::<from_host::Nothing>("changed", &mut of_host),
        frame::<ResultFrame>("result", &mut of_host),
        frame::<Done>("done", &mut of_host),
        frame::<CallRequest>("call", &mut of_host),
        frame::<FrameId>("cancel", &mut of_host),
    ];
    frames.insert("client".to_owned(), json!({ "oneOf": client }));
    frames.insert("host".to_owned(), json!({ "oneOf": host }));
    frames.extend(of_host.take_definitions(true));
    frames.extend(generator.take_definitions(true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("The frames of toolhost pipe, version {VERSION}"),
        "anyOf": [{ "$ref": "#/$defs/client" }, { "$ref": "#/$defs/host" }],
        "$defs": frames,
    })
}

/// The schema of a frame: that of its members, with its type.
fn frame<T: JsonSchema>(name: &str, generator: &mut SchemaGenerator) -> Value {
    let mut schema = T::json_schema(generator).to_value();
    let members = schema.as_object_mut().expect("frames are objects");
    let mut properties = Map::from_iter([("type".to_owned(), json!({ "const": name }))]);
    if let Some(Value::Object(own)) = members.remove("properties") {
        properties.extend(own);
    }
    let mut required = vec![Value::from("type")];
    if let Some(Value::Array(own)) = members.remove("required") {
        required.extend(own);
    }
    members.insert("title".to_owned(), name.into());
    members.insert("properties".to_owned(), properties.into());
    members.insert("required".to_owned(), required.into());
    schema
}
