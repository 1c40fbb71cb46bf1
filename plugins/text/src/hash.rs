//! `text_hash`.

use crate::source::one_of;
use granted_files::{io_error, open};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::io::Read;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct HashArguments {
    /// The text, hashed as UTF-8.
    text: Option<String>,
    /// Path of a file of any kind and size, instead of `text`.
    path: Option<String>,
    /// Default: "sha256".
    #[serde(default)]
    algorithm: Algorithm,
}

#[arguments]
#[derive(Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    #[default]
    Sha256,
    Sha512,
    Sha1,
    Md5,
    Blake3,
    Crc32,
}

#[structured]
pub(crate) struct Hash {
    /// In lower-case hexadecimal.
    hash: String,
    /// How many bytes were hashed.
    bytes: u64,
}

/// Hashes a text or a file: SHA-256, SHA-512, SHA-1, MD5, BLAKE3 or CRC-32.
#[tool(title = "Hash", read_only, idempotent, closed_world)]
pub(crate) fn text_hash(args: HashArguments) -> Result<Json<Hash>, Error> {
    let mut hasher = Hasher::new(args.algorithm);
    let bytes = match (&args.text, &args.path) {
        (Some(text), None) => {
            hasher.update(text.as_bytes());
            text.len() as u64
        }
        (None, Some(path)) => {
            let (path, mut file, _) = open(path)?;
            let mut buffer = vec![0; 256 << 10];
            let mut bytes = 0;
            loop {
                let length = file
                    .read(&mut buffer)
                    .map_err(|error| io_error("read", &path, &error))?;
                if length == 0 {
                    break bytes;
                }
                hasher.update(&buffer[..length]);
                bytes += length as u64;
            }
        }
        _ => return Err(one_of("text", "path")),
    };
    let hash = hasher.finish();
    Ok(Json(Hash { hash, bytes }))
}

#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
    Sha1(Sha1),
    Md5(Md5),
    Blake3(blake3::Hasher),
    Crc32(crc32fast::Hasher),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Blake3 => Self::Blake3(blake3::Hasher::new()),
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Crc32(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        match self {
            Self::Sha256(hasher) => hex(hasher.finalize().as_slice()),
            Self::Sha512(hasher) => hex(hasher.finalize().as_slice()),
            Self::Sha1(hasher) => hex(hasher.finalize().as_slice()),
            Self::Md5(hasher) => hex(hasher.finalize().as_slice()),
            Self::Blake3(hasher) => hex(hasher.finalize().as_bytes()),
            Self::Crc32(hasher) => hex(&hasher.finalize().to_be_bytes()),
        }
    }
}
