pub use wasip3::cli::{terminal_stderr, terminal_stdin, terminal_stdout};

pub mod environment {
    pub use wasip3::cli::environment::{get_arguments, get_environment};

    pub fn initial_cwd() -> Option<String> {
        wasip3::cli::environment::get_initial_cwd()
    }
}

pub mod stdin {
    use crate::io::streams::InputStream;

    pub fn get_stdin() -> InputStream {
        let (data, _) = wasip3::cli::stdin::read_via_stream();
        InputStream::new(data)
    }
}

pub mod stdout {
    use crate::io::streams::OutputStream;

    pub fn get_stdout() -> OutputStream {
        OutputStream::new(|data| async move {
            let written = wasip3::cli::stdout::write_via_stream(data);
            written.await.map_err(|error| format!("{error:?}"))
        })
    }
}

pub mod stderr {
    use crate::io::streams::OutputStream;

    pub fn get_stderr() -> OutputStream {
        OutputStream::new(|data| async move {
            let written = wasip3::cli::stderr::write_via_stream(data);
            written.await.map_err(|error| format!("{error:?}"))
        })
    }
}
