pub mod preopens {
    use super::types::Descriptor;

    pub fn get_directories() -> Vec<(Descriptor, String)> {
        let all = wasip3::filesystem::preopens::get_directories();
        all.into_iter()
            .map(|(folder, name)| (Descriptor(folder.into()), name))
            .collect()
    }
}

pub mod types {
    use std::cell::RefCell;
    use std::fmt;
    use std::rc::Rc;

    use wasip3::filesystem::types as wasi;
    pub use wasip3::filesystem::types::{DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};
    use wasip3::wit_stream;
    use wit_bindgen::block_on;

    use crate::io::streams::{Error, InputStream, OutputStream};

    /// The cases that guests name, and others by their names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ErrorCode {
        BadDescriptor,
        Io,
        Pipe,
        Named(&'static str),
    }

    impl ErrorCode {
        pub fn name(&self) -> &'static str {
            match self {
                ErrorCode::BadDescriptor => "bad-descriptor",
                ErrorCode::Io => "io",
                ErrorCode::Pipe => "pipe",
                ErrorCode::Named(name) => name,
            }
        }
    }

    impl fmt::Display for ErrorCode {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.name())
        }
    }

    impl From<wasi::ErrorCode> for ErrorCode {
        fn from(code: wasi::ErrorCode) -> ErrorCode {
            ErrorCode::Named(crate::name(&code))
        }
    }

    pub fn filesystem_error_code(error: &Error) -> Option<ErrorCode> {
        Some(ErrorCode::Named(error.0.clone().leak()))
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum DescriptorType {
        Directory,
        Other(&'static str),
    }

    impl From<wasi::DescriptorType> for DescriptorType {
        fn from(kind: wasi::DescriptorType) -> DescriptorType {
            match kind {
                wasi::DescriptorType::Directory => DescriptorType::Directory,
                other => DescriptorType::Other(crate::name(&other)),
            }
        }
    }

    pub struct DescriptorStat {
        pub size: u64,
    }

    pub struct DirectoryEntry {
        pub type_: DescriptorType,
        pub name: String,
    }

    /// All entries, read at once.
    pub struct DirectoryEntryStream(RefCell<std::vec::IntoIter<wasi::DirectoryEntry>>);

    impl DirectoryEntryStream {
        pub fn read_directory_entry(&self) -> Result<Option<DirectoryEntry>, ErrorCode> {
            let next = self.0.borrow_mut().next();
            Ok(next.map(|entry| DirectoryEntry {
                type_: entry.type_.into(),
                name: entry.name,
            }))
        }
    }

    pub struct Descriptor(pub(super) Rc<wasi::Descriptor>);

    type Done<T> = Result<T, ErrorCode>;

    impl Descriptor {
        pub fn open_at(
            &self,
            at: PathFlags,
            path: &str,
            how: OpenFlags,
            flags: DescriptorFlags,
        ) -> Done<Descriptor> {
            let opened = block_on(self.0.open_at(at, path.into(), how, flags))?;
            Ok(Descriptor(opened.into()))
        }

        pub fn read(&self, length: u64, offset: u64) -> Done<(Vec<u8>, bool)> {
            let (mut data, result) = self.0.read_via_stream(offset);
            let buffer = Vec::with_capacity(length.min(64 << 10) as usize);
            let (_, read) = block_on(data.read(buffer));
            if read.is_empty() {
                drop(data);
                block_on(result.into_future())?;
                return Ok((read, true));
            }
            Ok((read, false))
        }

        pub fn write(&self, bytes: &[u8], offset: u64) -> Done<u64> {
            let (mut writer, data) = wit_stream::new();
            let written = self.0.write_via_stream(data, offset);
            let rest = block_on(writer.write_all(bytes.to_vec()));
            drop(writer);
            let done = block_on(written.into_future());
            match (bytes.len() - rest.len()) as u64 {
                0 => done.map(|()| 0).map_err(ErrorCode::from),
                written => Ok(written),
            }
        }

        pub fn read_via_stream(&self, offset: u64) -> Done<InputStream> {
            Ok(InputStream::new(self.0.read_via_stream(offset).0))
        }

        pub fn write_via_stream(&self, offset: u64) -> Done<OutputStream> {
            let file = self.0.clone();
            Ok(OutputStream::new(move |data| async move {
                let written = file.write_via_stream(data, offset).await;
                written.map_err(|error| crate::name(&error).to_owned())
            }))
        }

        pub fn append_via_stream(&self) -> Done<OutputStream> {
            let file = self.0.clone();
            Ok(OutputStream::new(move |data| async move {
                let written = file.append_via_stream(data).await;
                written.map_err(|error| crate::name(&error).to_owned())
            }))
        }

        pub fn read_directory(&self) -> Done<DirectoryEntryStream> {
            let (entries, result) = self.0.read_directory();
            let entries = block_on(entries.collect());
            block_on(result.into_future())?;
            Ok(DirectoryEntryStream(RefCell::new(entries.into_iter())))
        }

        pub fn get_type(&self) -> Done<DescriptorType> {
            Ok(block_on(self.0.get_type())?.into())
        }

        pub fn get_flags(&self) -> Done<DescriptorFlags> {
            Ok(block_on(self.0.get_flags())?)
        }

        pub fn stat_at(&self, at: PathFlags, path: &str) -> Done<DescriptorStat> {
            let size = block_on(self.0.stat_at(at, path.into()))?.size;
            Ok(DescriptorStat { size })
        }

        pub fn set_size(&self, size: u64) -> Done<()> {
            Ok(block_on(self.0.set_size(size))?)
        }

        pub fn set_times(&self, access: NewTimestamp, modification: NewTimestamp) -> Done<()> {
            Ok(block_on(self.0.set_times(access, modification))?)
        }

        pub fn set_times_at(
            &self,
            at: PathFlags,
            path: &str,
            access: NewTimestamp,
            modification: NewTimestamp,
        ) -> Done<()> {
            let set = self.0.set_times_at(at, path.into(), access, modification);
            Ok(block_on(set)?)
        }

        pub fn readlink_at(&self, path: &str) -> Done<String> {
            Ok(block_on(self.0.readlink_at(path.into()))?)
        }

        pub fn create_directory_at(&self, path: &str) -> Done<()> {
            Ok(block_on(self.0.create_directory_at(path.into()))?)
        }

        pub fn remove_directory_at(&self, path: &str) -> Done<()> {
            Ok(block_on(self.0.remove_directory_at(path.into()))?)
        }

        pub fn unlink_file_at(&self, path: &str) -> Done<()> {
            Ok(block_on(self.0.unlink_file_at(path.into()))?)
        }

        pub fn symlink_at(&self, old: &str, new: &str) -> Done<()> {
            Ok(block_on(self.0.symlink_at(old.into(), new.into()))?)
        }

        pub fn link_at(&self, at: PathFlags, old: &str, to: &Descriptor, new: &str) -> Done<()> {
            Ok(block_on(self.0.link_at(at, old.into(), &to.0, new.into()))?)
        }

        pub fn rename_at(&self, old: &str, to: &Descriptor, new: &str) -> Done<()> {
            Ok(block_on(self.0.rename_at(old.into(), &to.0, new.into()))?)
        }
    }
}
