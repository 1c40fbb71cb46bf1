//! Files that are no plugins, and components that are none of this host.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toolhost::LoadError;
use toolhost::limits::ByteSize;
use toolhost::manifest::PluginConfig;

use super::{Random, refused, refused_file};
use crate::common;
use crate::common::binary::Folder;
use crate::common::{guest, manifest, try_load};

#[tokio::test]
async fn a_core_module_is_called_one() {
    let module = wat::parse_str("(module (memory 1) (func (export \"run\")))").unwrap();
    let message = refused_file(module).await;
    assert!(message.contains("core module"), "{message}");
}

#[tokio::test]
async fn text_even_of_a_component_is_not_one() {
    for contents in ["just text", "(component)", "(module)", "\u{feff}\0asm"] {
        let message = refused_file(contents).await;
        assert!(message.contains("not a component"), "{contents}: {message}");
    }
}

#[tokio::test]
async fn an_empty_file_is_no_component() {
    let message = refused_file("").await;
    assert!(message.contains("0 bytes"), "{message}");
    let message = refused_file("\0asm").await;
    assert!(message.contains("4 bytes"), "{message}");
}

#[tokio::test]
async fn a_component_of_an_unknown_binary_version_is_refused() {
    let message = refused_file(b"\0asm\x63\0\x01\0").await;
    assert!(message.contains("not a valid component"), "{message}");
    let message = refused_file(b"\0asm\x0d\0\x63\0").await;
    assert!(message.contains("not a"), "{message}");
}

#[tokio::test]
async fn a_component_that_holds_nothing_is_no_plugin() {
    let message = refused_file(wat::parse_str("(component)").unwrap()).await;
    assert!(message.contains("exports nothing"), "{message}");
}

#[tokio::test]
async fn a_truncated_component_is_refused_wherever_it_is_cut() {
    let folder = Folder::empty();
    let whole = std::fs::read(guest("echo")).unwrap();
    // The code is over where only the custom sections of the tool chain are left.
    let cuts: Vec<usize> = (0..whole.len() * 9 / 10).step_by(97).collect();
    let plugins = cuts.iter().map(|&cut| {
        let path = folder.write(format!("cut-{cut:06}.wasm"), &whole[..cut]);
        PluginConfig::new(format!("cut-{cut:06}"), path)
    });
    let plugins: Vec<PluginConfig> = plugins.collect();
    let files: Vec<PathBuf> = plugins.iter().map(|plugin| plugin.path.clone()).collect();
    let Err(LoadError::Invalid(problems)) = try_load(manifest(plugins)).await else {
        panic!("something of it loads");
    };
    let found: Vec<PathBuf> = problems
        .iter()
        .map(|problem| problem.file.clone())
        .collect();
    assert_eq!(found, files);
}

#[tokio::test]
async fn a_component_with_broken_bytes_never_panics_the_host() {
    let folder = Folder::empty();
    let whole = std::fs::read(guest("echo")).unwrap();
    let mut random = Random(7);
    for number in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let path = folder.write(format!("{number}.wasm"), bytes);
        let mut plugin = PluginConfig::new("broken", path);
        plugin.limits.timeout = Duration::from_secs(2);
        if let Err(error) = try_load(manifest([plugin])).await {
            assert!(matches!(error, LoadError::Invalid(_)), "{error}");
            assert!(!error.to_string().contains("panic"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_gibibyte_of_zeros_is_refused_by_its_size() {
    let folder = Folder::empty();
    let path = folder.path().join("zeros.wasm");
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let message = refused(PluginConfig::new("zeros", &path)).await.message;
    assert!(message.contains("max-component"), "{message}");
    // And where the limit is higher, for what it is.
    let mut plugin = PluginConfig::new("zeros", &path);
    plugin.limits.max_component = ByteSize::gib(2);
    let message = refused(plugin).await.message;
    assert!(message.contains("not WebAssembly"), "{message}");
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let folder = Folder::empty();
    let message = refused(PluginConfig::new("folder", folder.path()))
        .await
        .message;
    assert!(message.contains("not a file"), "{message}");
    let missing = folder.path().join("none.wasm");
    let message = refused(PluginConfig::new("missing", missing)).await.message;
    assert!(message.contains("cannot be read"), "{message}");
    let device = refused(PluginConfig::new("device", "/dev/zero"))
        .await
        .message;
    assert!(device.contains("not a file"), "{device}");
}

#[tokio::test]
async fn a_component_with_a_part_of_the_world_says_what_it_should_export() {
    let component = r#"(component
        (instance $prompts) (export "toolhost:plugin/prompts@0.1.0" (instance $prompts)))"#;
    let message = refused_file(wat::parse_str(component).unwrap()).await;
    for words in [
        "toolhost:plugin/tools@0.1.0",
        "toolhost:plugin/prompts@0.1.0",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_plugin_of_another_version_names_both() {
    let message = refused(common::plugin("other-version")).await.message;
    for words in ["0.9.0", "0.1.0"] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn an_import_that_the_host_does_not_offer_is_named() {
    let message = refused(common::plugin("strange-import")).await.message;
    assert!(message.contains("acme:cloud/storage@1.2.3"), "{message}");
    assert!(!message.contains("wasi:"), "{message}");
}

#[tokio::test]
async fn an_import_of_another_wasi_is_named() {
    for import in [
        "wasi:cli/environment@0.1.0",
        "wasi:gpu/draw@0.2.0",
        "anything",
    ] {
        let component = format!(
            r#"(component (import "{import}" (instance $i))
                (instance $tools) (export "toolhost:plugin/tools@0.1.0" (instance $tools)))"#
        );
        let message = refused_file(wat::parse_str(component).unwrap()).await;
        assert!(message.contains(import), "{message}");
    }
}

#[tokio::test]
async fn an_export_of_the_right_name_and_another_shape_is_refused() {
    let component = r#"(component
        (instance $tools) (export "toolhost:plugin/tools@0.1.0" (instance $tools)))"#;
    let message = refused_file(wat::parse_str(component).unwrap()).await;
    assert!(message.contains("does not fit this host"), "{message}");
}

#[test]
fn a_gibibyte_of_zeros_as_a_plugin_is_refused_by_the_binary() {
    let folder = Folder::with("[plugin.zeros]\npath = \"zeros.wasm\"\n");
    let zeros = folder.path().join("zeros.wasm");
    File::create(&zeros).unwrap().set_len(1 << 30).unwrap();
    folder.run(&["check"], "").failed("max-component");
    folder
        .run(&[Path::new("inspect"), &zeros], "")
        .failed("max-component");
}
