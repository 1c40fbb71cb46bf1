//! The schema in `docs/` is that of the frames.

use std::path::Path;

#[test]
fn the_schema_in_docs_is_that_of_the_frames() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipe.schema.json");
    let written = std::fs::read_to_string(file).unwrap();
    let schema = format!(
        "{}\n",
        serde_json::to_string_pretty(&toolhost_pipe::protocol::schema()).unwrap()
    );
    assert!(
        written == schema,
        "run `toolhost generate pipe-schema > docs/pipe.schema.json`"
    );
}
