//! Components that other projects published: each loads, or is refused for what it is.
//! `cargo xtask components` fetches them.

use std::path::PathBuf;

use toolhost::CodeCache;
use toolhost::inspect::{Inspection, inspect};

use crate::common::{code_cache, root};

async fn inspected(name: &str) -> Inspection {
    let file: PathBuf = root().join(format!("target/components/{name}.wasm"));
    let found = inspect(&file, CodeCache::Folder(code_cache())).await;
    found.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refusal(inspection: &Inspection) -> String {
    let problems = inspection.tools.as_ref().expect_err("it is refused");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n")
}

#[tokio::test]
async fn the_component_of_oci_wasm() {
    crate::common::needs!(components);
    let found = inspected("oci-wasm").await;
    println!("{:?} {:?} {:?} {:?}", found.tools, found.exports, found.imports, found.notes);
}
