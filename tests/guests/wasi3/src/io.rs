pub mod error {
    use std::fmt;

    /// Why a stream failed: the case of an error code.
    #[derive(Debug)]
    pub struct Error(pub String);

    impl Error {
        pub fn to_debug_string(&self) -> String {
            self.0.clone()
        }
    }

    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }
}

pub mod poll {
    use std::cell::RefCell;
    use std::future::Future;

    use wasip3::http::types::Fields;

    use crate::Begun;

    /// Something to wait for: nothing, or a future.
    pub struct Pollable(Option<RefCell<Begun<()>>>);

    impl Pollable {
        pub(crate) fn new(future: impl Future<Output = ()> + 'static) -> Pollable {
            Pollable(Some(RefCell::new(Begun::new(future))))
        }

        pub(crate) fn ready() -> Pollable {
            Pollable(None)
        }

        /// Of a resource, since a timer is none in WASI 0.3.
        pub fn take_handle(self) -> u32 {
            Fields::new().take_handle()
        }

        /// # Safety
        ///
        /// As that of the resource.
        pub unsafe fn from_handle(handle: u32) -> Fields {
            // SAFETY: as the caller says.
            unsafe { Fields::from_handle(handle) }
        }

        pub fn block(&self) {
            if let Some(begun) = &self.0 {
                let mut begun = begun.borrow_mut();
                begun.finish();
                begun.1 = Some(());
            }
        }
    }

    /// Waits for the first of them.
    pub fn poll(pollables: &[&Pollable]) -> Vec<u32> {
        let is_ready = |it: &&Pollable| match &it.0 {
            Some(begun) => begun.borrow_mut().is_done(),
            None => true,
        };
        if let Some(first) = pollables.first()
            && !pollables.iter().any(is_ready)
        {
            first.block();
        }
        vec![0]
    }
}

pub mod streams {
    use std::cell::RefCell;
    use std::fmt;
    use std::future::Future;

    use wasip3::wit_stream;
    use wit_bindgen::{StreamReader, StreamWriter, block_on};

    pub use super::error::Error;
    use super::poll::Pollable;
    use crate::Begun;

    #[derive(Debug)]
    pub enum StreamError {
        Closed,
        LastOperationFailed(Error),
    }

    impl fmt::Display for StreamError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    pub struct InputStream(RefCell<StreamReader<u8>>, RefCell<Option<Written>>);

    impl InputStream {
        pub(crate) fn new(data: StreamReader<u8>) -> InputStream {
            InputStream(RefCell::new(data), RefCell::new(None))
        }

        /// With what says at its end whether it is whole.
        pub(crate) fn ending(
            self,
            end: impl Future<Output = Result<(), String>> + 'static,
        ) -> InputStream {
            InputStream(self.0, RefCell::new(Some(Begun::new(end))))
        }

        pub fn blocking_read(&self, length: u64) -> Result<Vec<u8>, StreamError> {
            let buffer = Vec::with_capacity(length.min(64 << 10) as usize);
            let mut data = self.0.borrow_mut();
            let (_, read) = block_on(data.read(buffer));
            if !read.is_empty() {
                return Ok(read);
            }
            let end = self.1.borrow_mut().take();
            Err(match end.map(|mut end| end.finish()) {
                Some(Err(error)) => StreamError::LastOperationFailed(Error(error)),
                _ => StreamError::Closed,
            })
        }
    }

    type Written = Begun<Result<(), String>>;

    pub struct OutputStream(RefCell<Option<StreamWriter<u8>>>, RefCell<Written>);

    impl OutputStream {
        /// Hands the readable end over to what writes it.
        pub(crate) fn new<F>(write: impl FnOnce(StreamReader<u8>) -> F) -> OutputStream
        where
            F: Future<Output = Result<(), String>> + 'static,
        {
            let (writer, data) = wit_stream::new();
            OutputStream::of(writer, write(data))
        }

        pub(crate) fn of(
            writer: StreamWriter<u8>,
            written: impl Future<Output = Result<(), String>> + 'static,
        ) -> OutputStream {
            let written = Begun::new(written);
            OutputStream(RefCell::new(Some(writer)), RefCell::new(written))
        }

        pub fn write(&self, bytes: &[u8]) -> Result<(), StreamError> {
            let mut writer = self.0.borrow_mut();
            let Some(open) = writer.as_mut() else {
                return Err(StreamError::Closed);
            };
            let rest = block_on(open.write_all(bytes.to_vec()));
            if rest.is_empty() {
                return Ok(());
            }
            drop(writer.take());
            Err(match self.1.borrow_mut().finish() {
                Ok(()) => StreamError::Closed,
                Err(error) => StreamError::LastOperationFailed(Error(error)),
            })
        }

        pub fn blocking_write_and_flush(&self, bytes: &[u8]) -> Result<(), StreamError> {
            self.write(bytes)
        }

        pub fn blocking_write_zeroes_and_flush(&self, length: u64) -> Result<(), StreamError> {
            self.write(&vec![0; length as usize])
        }

        pub fn blocking_flush(&self) -> Result<(), StreamError> {
            Ok(())
        }

        pub fn check_write(&self) -> Result<u64, StreamError> {
            match &*self.0.borrow() {
                Some(_) => Ok(64 << 10),
                None => Err(StreamError::Closed),
            }
        }

        pub fn blocking_splice(&self, from: &InputStream, length: u64) -> Result<u64, StreamError> {
            let bytes = from.blocking_read(length)?;
            self.write(&bytes)?;
            Ok(bytes.len() as u64)
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }

        /// Ends the stream, and waits until all is written.
        pub fn finish(&self) -> Result<(), String> {
            drop(self.0.borrow_mut().take());
            self.1.borrow_mut().finish()
        }
    }
}
