//! Text: diffs and patches, regular expressions, hashes, encodings, counts. On text in arguments, and on files in
//! granted folders.

mod convert;
mod count;
mod diff;
mod hash;
mod patch;
mod replace;
mod source;
mod template;
mod unified;

toolhost_plugin::plugin!(
    diff::text_diff,
    patch::text_patch,
    patch::text_patch_files,
    replace::text_replace,
    replace::text_replace_in_file,
    hash::text_hash,
    convert::text_convert,
    count::text_count
);
