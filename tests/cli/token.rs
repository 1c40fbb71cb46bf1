//! `toolhost token`.

use crate::common::binary::Folder;
use crate::common::sha256;

#[test]
fn a_new_token_goes_to_stdout_alone_and_its_digest_to_the_manifest() {
    let folder = Folder::empty();
    let new = |arguments: &[&str]| {
        let ended = folder.run(&[&["token", "new"], arguments].concat(), "");
        assert_eq!(ended.status, 0, "{ended:?}");
        let token = ended.stdout.strip_suffix('\n').unwrap().to_owned();
        assert!(!ended.stderr.contains(&token), "{ended:?}");
        (token, ended.stderr)
    };
    let (token, said) = new(&["--name", "ci-1"]);
    // 256 bits in base64.
    let secret = token.strip_prefix("th_").unwrap();
    assert_eq!(secret.len(), 43, "{token}");
    let is_of_url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    assert!(secret.bytes().all(is_of_url), "{token}");
    let start = said.find('[').unwrap();
    let manifest = toolhost::Manifest::parse(&said[start..], "toolhost.toml").unwrap();
    let [client] = &manifest.serve.auth.tokens[..] else {
        panic!("{said}");
    };
    assert_eq!(client.name, "ci-1");
    assert_eq!(client.digest.to_string(), sha256(&token));
    assert_ne!(new(&[]).0, token);
    for name in ["", "a b", "a]\n[host"] {
        let ended = folder.run(&["token", "new", "--name", name], "");
        assert_eq!((ended.status, &*ended.stdout), (2, ""), "{name}");
    }
}
