//! Files in the granted folders, for the plugins that ship: where paths lead, reading with a bound, and writes that are
//! whole.

mod read;
mod roots;
mod whole;

pub use read::{is_binary, open, read_bytes, read_text};
pub use roots::{Roots, io_error};
pub use whole::{FOLDER, Temporary, create_file, create_parents, replace_content, target};
