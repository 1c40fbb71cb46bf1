//! [`serve`]: the session with one client, from its `hello` until it leaves.
//!
//! | state | next |
//! | --- | --- |
//! | waits for `hello` | loading; any other frame ends the session |
//! | loading: the next frame is read, and waits | open, or an error ends the session |
//! | open: frames are read, each starts something or is answered | the end of input, a frame without sense, or `stop` |
//! | ending: every run is cancelled and gets its `done` | all is written, or the client does not read |

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toolhost_core::locks::{read, write};
use toolhost_core::order::OrderClient;
use toolhost_core::watch::Owner;
use toolhost_core::wire::{Events, Format};
use toolhost_core::{BoxFuture, CallOptions, Loader, Manifest, ToolHost};

use crate::active_host::ActiveHost;
use crate::frame_reader::{FrameReader, ReadError};
use crate::outbox::Outbox;
use crate::program_tools::{DEFAULT_MAX_CALLS, NAME, Parent, Program, ProgramTools};
use crate::protocol::{
    ClientFrame, ClientHello, Declare, ErrorCode, ErrorFrame, FrameId, HostFrame, HostHello,
    InvalidFrame, LeftOutTool, MAX_FRAME, ManifestSource, Reload, Run, ToolDeclaration, ToolList,
    ToolsFrame, VERSION,
};
use crate::runs::{DecodedCalls, Job, Runs, StreamPiece, Wanted};
use crate::streamed_run;

/// How long the last frames may take to reach a client that has closed its end, or does not read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long cancelled runs may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(4);

/// Reads manifests and loads hosts, by the rules of the embedding command.
pub trait HostSource: Send + Sync + 'static {
    /// The manifest that the client names, or the command's own, with these plugins that ship.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not trusted, or no such plugin ships.
    fn manifest(
        &self,
        source: Option<&ManifestSource>,
        plugins: &[String],
    ) -> Result<Manifest, LoadFailure>;

    /// Loads a host.
    ///
    /// # Errors
    ///
    /// What is wrong with the plugins.
    fn load(&self, loader: Loader) -> BoxFuture<'_, Result<ToolHost, LoadFailure>>;
}

/// Why there is no host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadFailure {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
}

impl LoadFailure {
    /// A failure of that kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> LoadFailure {
        LoadFailure {
            code,
            message: message.into(),
        }
    }
}

/// Why a session ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipeError {
    /// The client sent something that is no frame, or out of turn. It was told.
    #[error("{message}")]
    Protocol {
        /// What is wrong.
        message: String,
    },
    /// The manifest could not be loaded. The client was told.
    #[error("{message}")]
    Load {
        /// What is wrong.
        message: String,
    },
    /// The frames of the client cannot be read.
    #[error("cannot read from the client")]
    Read(#[source] io::Error),
}

/// Serves the client at the other end of two byte streams, until its end of input or until `stop`.
///
/// # Errors
///
/// The session ended for a reason that the client did not intend.
pub async fn serve<R, W>(
    source: impl HostSource,
    reader: R,
    writer: W,
    stop: CancellationToken,
) -> Result<(), PipeError>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let outbox = Outbox::new();
    let writing = tokio::spawn({
        let (outbox, stop) = (outbox.clone(), stop.clone());
        async move {
            if let Err(error) = outbox.write(writer).await {
                tracing::debug!("the client is gone: {error}");
            }
            stop.cancel();
        }
    });
    let runs = Arc::new(Runs::default());
    let client = Client {
        frames: FrameReader::new(reader),
        outbox: outbox.clone(),
        runs: runs.clone(),
        line: 0,
    };
    let served = stop.run_until_cancelled(client.serve(source)).await;
    runs.cancel_all();
    if timeout(END_TIMEOUT, runs.idle()).await.is_err() {
        tracing::debug!("calls did not end in time");
    }
    let _ = timeout(FLUSH_TIMEOUT, outbox.flushed()).await;
    writing.abort();
    let ended = served.unwrap_or(Ok(()));
    ended.map_err(|failure| failure.into_error())
}

/// What ends a session.
enum Ending {
    /// The client is told.
    Told(ErrorCode, String),
    Broken(io::Error),
}

impl Ending {
    fn into_error(self) -> PipeError {
        match self {
            Ending::Told(
                ErrorCode::InvalidManifest | ErrorCode::Untrusted | ErrorCode::InvalidTool,
                message,
            ) => PipeError::Load { message },
            Ending::Told(_, message) => PipeError::Protocol { message },
            Ending::Broken(error) => PipeError::Read(error),
        }
    }
}

/// The client's frames.
struct Client<R> {
    frames: FrameReader<R>,
    outbox: Arc<Outbox>,
    runs: Arc<Runs>,
    /// The number of frames so far.
    line: u64,
}

impl<R: AsyncRead + Unpin> Client<R> {
    async fn serve(mut self, source: impl HostSource) -> Result<(), Ending> {
        let served = self.frames_of(source).await;
        if let Err(Ending::Told(code, message)) = &served {
            let message = Cow::Borrowed(&**message);
            let (id, code) = (None, *code);
            let _ = self
                .outbox
                .send(&HostFrame::Error(ErrorFrame { id, code, message }));
        }
        served
    }

    async fn frames_of(&mut self, source: impl HostSource) -> Result<(), Ending> {
        let Some(line) = self.next().await? else {
            return Ok(());
        };
        let hello = match ClientFrame::parse(&line) {
            Ok(ClientFrame::Hello(hello)) => hello,
            Ok(_) => return Err(self.invalid("the first frame must be `hello`")),
            Err(error) => return Err(self.invalid(error)),
        };
        if hello.version < VERSION {
            let message = format!(
                "the client speaks version {} of the protocol, and this host {VERSION}: update the client",
                hello.version
            );
            return Err(Ending::Told(ErrorCode::UnsupportedVersion, message));
        }
        let (outbox, runs) = (self.outbox.clone(), self.runs.clone());
        let opened = Session::open(source, hello, outbox, runs);
        tokio::pin!(opened);
        // The end of input is seen while plugins compile.
        let mut next = None;
        let session = loop {
            tokio::select! {
                // What is wrong with the manifest is said even to a client that has sent all it will.
                biased;
                session = &mut opened => break session?,
                line = self.next(), if next.is_none() => match line? {
                    Some(line) => next = Some(line),
                    None => return Ok(()),
                },
            }
        };
        let session = Arc::new(session);
        let _follows = session.follow_tools();
        loop {
            let line = match next.take() {
                Some(line) => line,
                None => {
                    tokio::select! {
                        () = self.runs.room() => {}
                        () = session.program.is_running() => {}
                    }
                    match self.next().await? {
                        Some(line) => line,
                        None => return Ok(()),
                    }
                }
            };
            match ClientFrame::parse(&line) {
                Ok(frame) => session
                    .take(frame, line.len(), !self.frames.has_more())
                    .map_err(|error| self.invalid(error))?,
                Err(InvalidFrame {
                    id: Some(id),
                    message,
                }) => session.refuse(id, ErrorCode::InvalidFrame, &message),
                Err(error) => return Err(self.invalid(error)),
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Ending> {
        let line = self.frames.next().await.map_err(|error| match error {
            ReadError::TooLarge => {
                let message = format!("frame {} has more than {MAX_FRAME} bytes", self.line + 1);
                Ending::Told(ErrorCode::TooLarge, message)
            }
            ReadError::Failed(error) => Ending::Broken(error),
        })?;
        self.line += 1;
        Ok(line.map(<[u8]>::to_vec))
    }

    fn invalid(&self, error: impl std::fmt::Display) -> Ending {
        Ending::Told(
            ErrorCode::InvalidFrame,
            format!("frame {}: {error}", self.line),
        )
    }
}

/// An open session.
struct Session<S> {
    source: S,
    outbox: Arc<Outbox>,
    runs: Arc<Runs>,
    program: Arc<Program>,
    active: RwLock<Arc<ActiveHost>>,
    /// The manifest of the last load; one reload at a time.
    manifest: Mutex<Option<ManifestSource>>,
    /// The plugins that ship, by name.
    plugins: Vec<String>,
    /// All calls of a program keep their order, unless they are for clients with names.
    order: OrderClient,
}

/// The least `max_frame` of a client: the host's `hello` and its errors fit.
const MIN_FRAME: u64 = 1 << 10;

impl<S: HostSource> Session<S> {
    async fn open(
        source: S,
        hello: ClientHello,
        outbox: Arc<Outbox>,
        runs: Arc<Runs>,
    ) -> Result<Session<S>, Ending> {
        let ended = |failure: LoadFailure| Ending::Told(failure.code, failure.message);
        if let Some(longest) = hello.max_frame {
            if longest < MIN_FRAME {
                let message = format!("`max_frame` is {longest}: it is {MIN_FRAME} or more");
                return Err(Ending::Told(ErrorCode::InvalidFrame, message));
            }
            outbox.set_longest(usize::try_from(longest).unwrap_or(usize::MAX));
        }
        let max_calls = hello
            .max_calls
            .map_or(DEFAULT_MAX_CALLS, |most| most.max(1).into());
        let program = Program::new(outbox.clone(), max_calls);
        let declared = program.declare(hello.tools);
        declared.map_err(|error| Ending::Told(ErrorCode::InvalidTool, error.0))?;
        let manifest = source.manifest(hello.manifest.as_ref(), &hello.plugins);
        let manifest = manifest.map_err(ended)?;
        let loader = Loader::new(manifest.clone());
        let host = load(&source, loader, &manifest, &program)
            .await
            .map_err(ended)?;
        let greeting = HostFrame::Hello(HostHello {
            version: VERSION,
            host: env!("CARGO_PKG_VERSION"),
            max_frame: MAX_FRAME as u64,
            formats: Format::ALL.into_iter().map(Format::name).collect(),
        });
        let _ = outbox.send(&greeting);
        Ok(Session {
            source,
            outbox,
            runs,
            program,
            active: RwLock::new(Arc::new(ActiveHost::new(host, &manifest))),
            manifest: Mutex::new(hello.manifest),
            plugins: hello.plugins,
            order: OrderClient::default(),
        })
    }

    fn active(&self) -> Arc<ActiveHost> {
        read(&self.active).clone()
    }

    /// Takes over tools that providers offer later, until the guard is dropped.
    fn follow_tools(self: &Arc<Self>) -> tokio_util::sync::DropGuard {
        let (session, end) = (Arc::downgrade(self), CancellationToken::new());
        let ended = end.clone();
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Some(active) = session.upgrade().map(|session| session.active()) {
                active.host.tools_changed().await;
                let Some(session) = session.upgrade() else {
                    return;
                };
                let mut current = write(&session.active);
                if Arc::ptr_eq(&current, &active) {
                    *current = Arc::new(active.renewed());
                    let _ = session.outbox.send(&HostFrame::Changed);
                }
            }
        }));
        ended.drop_guard()
    }

    /// Takes a frame: whatever it starts is started when this returns. `is_last` is whether no further frame was read.
    ///
    /// # Errors
    ///
    /// It makes no sense here.
    fn take(
        self: &Arc<Self>,
        frame: ClientFrame,
        bytes: usize,
        is_last: bool,
    ) -> Result<(), String> {
        match frame {
            ClientFrame::Run(run) => self.run(run, bytes, is_last),
            ClientFrame::Cancel(FrameId { id }) => self.runs.cancel(id),
            ClientFrame::Answer(answer) => self.program.answered(answer),
            ClientFrame::Data(data) => self.runs.feed(data.id, StreamPiece::Data(data.data)),
            ClientFrame::End(end) => self.runs.feed(end.id, StreamPiece::End(end.error)),
            ClientFrame::Tools(list) => self.list(&list),
            ClientFrame::Declare(declare) => self.declare(declare),
            ClientFrame::Reload(reload) => drop(tokio::spawn(self.clone().reload(reload))),
            ClientFrame::Hello(_) => return Err("a second `hello`".to_owned()),
        }
        Ok(())
    }

    fn refuse(&self, id: u64, code: ErrorCode, message: &str) {
        let message = Cow::Borrowed(message);
        let id = Some(id);
        let _ = self
            .outbox
            .send(&HostFrame::Error(ErrorFrame { id, code, message }));
    }

    fn list(&self, list: &ToolList) {
        let format = match list.format.as_deref().map_or(Ok(Format::Json), str::parse) {
            Ok(format) => format,
            Err(error) => {
                return self.refuse(list.id, ErrorCode::UnknownFormat, &error.to_string());
            }
        };
        let active = self.active();
        let declared = active.declare(format);
        let left_out = declared.left_out.iter();
        let frame = HostFrame::Tools(ToolsFrame {
            id: list.id,
            tools: &declared.tools,
            left_out: left_out
                .map(|it| LeftOutTool {
                    tool: &it.tool,
                    why: &it.why,
                })
                .collect(),
        });
        if let Err(error) = self.outbox.send(&frame) {
            let message = format!("the tools have more than {} bytes", error.longest);
            self.refuse(list.id, ErrorCode::TooLarge, &message);
        }
    }

    fn declare(&self, Declare { id, tools }: Declare) {
        let mut active = write(&self.active);
        let declared = match taken_name(&active.host, &tools) {
            Some(why) => Err(why),
            None => self.program.declare(tools).map_err(|error| error.0),
        };
        match declared {
            Ok(()) => {
                *active = Arc::new(active.renewed());
                let _ = self.outbox.send(&HostFrame::Ok(FrameId { id }));
            }
            Err(why) => self.refuse(id, ErrorCode::InvalidTool, &why),
        }
    }

    async fn reload(self: Arc<Self>, Reload { id, manifest }: Reload) {
        let mut last = self.manifest.lock().await;
        let named = manifest.or_else(|| last.clone());
        match self.load_again(named.as_ref()).await {
            Ok(()) => {
                *last = named;
                let _ = self.outbox.send(&HostFrame::Ok(FrameId { id }));
            }
            Err(failure) => self.refuse(id, failure.code, &failure.message),
        }
    }

    async fn load_again(&self, named: Option<&ManifestSource>) -> Result<(), LoadFailure> {
        let manifest = self.source.manifest(named, &self.plugins)?;
        let loader = Loader::new(manifest.clone()).replacing(&self.active().host);
        let host = load(&self.source, loader, &manifest, &self.program).await?;
        // Functions may have been declared meanwhile.
        let loaded = ActiveHost::new(host, &manifest).renewed();
        *write(&self.active) = Arc::new(loaded);
        let _ = self.outbox.send(&HostFrame::Changed);
        Ok(())
    }

    fn run(&self, run: Run, bytes: usize, is_last: bool) {
        let id = run.id;
        let format = match run.format.as_deref().map(str::parse).transpose() {
            Ok(format) => format,
            Err(error) => {
                let error: toolhost_core::wire::UnknownFormat = error;
                return self.refuse(id, ErrorCode::UnknownFormat, &error.to_string());
            }
        };
        let given = [
            run.calls.is_some(),
            run.response.is_some(),
            run.stream.is_some(),
        ];
        if given.into_iter().filter(|it| *it).count() != 1 {
            let message = "a `run` needs one of `calls`, `response` and `stream`";
            return self.refuse(id, ErrorCode::InvalidFrame, message);
        }
        let events = run
            .stream
            .map(|kind| Events::new(format).map(|events| (kind, events)));
        let events = match events.transpose() {
            Ok(events) => events,
            Err(error) => return self.refuse(id, ErrorCode::UnknownFormat, &error.to_string()),
        };
        let (pieces, stream) = match events.is_some() {
            true => {
                let (sender, receiver) = mpsc::unbounded_channel();
                (Some(receiver), Some(sender))
            }
            false => (None, None),
        };
        let is_alone = is_last && self.runs.is_empty();
        let (options, parent) = match self.options(&run) {
            Ok(options) => options,
            Err(message) => return self.refuse(id, ErrorCode::InvalidFrame, &message),
        };
        let cancel = match &parent {
            Some(Parent::Runs(parent)) => parent.cancellation(),
            _ => CancellationToken::new(),
        };
        if let Err((code, message)) = self.runs.open(id, bytes, cancel.clone(), stream) {
            return self.refuse(id, code, &message);
        }
        let parent = match parent {
            Some(Parent::Runs(parent)) => Some(parent),
            Some(Parent::Ended) => {
                cancel.cancel();
                None
            }
            None => None,
        };
        let job = Job {
            id,
            options: options.cancellation(cancel.clone()),
            host: self.active(),
            cancel,
            parent,
            wanted: Wanted {
                results: run.results.unwrap_or(true),
                messages: run.messages,
                reply: run.reply,
            },
            outbox: self.outbox.clone(),
            runs: self.runs.clone(),
            is_alone,
            expected: Some(self.outbox.expect()),
        };
        if let (Some((kind, events)), Some(pieces)) = (events, pieces) {
            tokio::spawn(streamed_run::run(job, kind, events, pieces));
            return;
        }
        let decoded = match (run.calls, run.response) {
            (Some(calls), _) => Ok(DecodedCalls {
                calls: calls.into_iter().map(Into::into).collect(),
                format: Some(format.unwrap_or(Format::Json)),
                ..DecodedCalls::default()
            }),
            (None, Some(response)) => {
                let text = match response.get() {
                    text if text.starts_with('"') => {
                        serde_json::from_str::<Cow<str>>(text).unwrap_or_default()
                    }
                    text => Cow::Borrowed(text),
                };
                DecodedCalls::of_response(text.as_bytes(), format, &job.host)
            }
            (None, None) => return,
        };
        match decoded {
            Ok(decoded) => job.start(decoded),
            Err(error) => job.fail(ErrorCode::InvalidResponse, &error),
        }
    }

    /// The options of a run's calls, and the call that they are nested in.
    ///
    /// # Errors
    ///
    /// The host made no such call, or it is for another client.
    fn options(&self, run: &Run) -> Result<(CallOptions, Option<Parent>), String> {
        let parent = run.parent.map(|id| self.program.parent(id)).transpose()?;
        let (mut options, is_nested) = match &parent {
            Some(Parent::Runs(parent)) => (parent.options(), true),
            _ => (CallOptions::new(), false),
        };
        // Calls of functions name the run that they are of. There are no kept results here.
        options = options
            .owned_by(Owner::Session(run.id))
            .unless_paused(Some(self.outbox.paused()));
        options = match (&run.client, options.client_name()) {
            (Some(own), Some(of_parent)) if &**own != of_parent => {
                return Err(format!(
                    "`client` is {own:?}, and that of the call in `parent` is {of_parent:?}: omit it"
                ));
            }
            (Some(own), None) => options.client(&**own),
            (None, None) if !is_nested => options.of_client(self.order),
            _ => options,
        };
        if let Some(timeout) = run.timeout_ms {
            options = options.timeout(Duration::from_millis(timeout));
        }
        if let Some(key) = &run.idempotency_key {
            options = options.idempotency_key(&**key);
        }
        Ok((options, parent))
    }
}

async fn load<S: HostSource>(
    source: &S,
    loader: Loader,
    manifest: &Manifest,
    program: &Arc<Program>,
) -> Result<ToolHost, LoadFailure> {
    let tools = ProgramTools::new(program.clone(), manifest.host.limits.clone());
    source.load(loader.provider(tools)).await
}

/// That another provider has a tool of this name.
fn taken_name(host: &ToolHost, declared: &[ToolDeclaration]) -> Option<String> {
    let names = host.tools().filter(|tool| tool.plugin != NAME);
    let taken = names
        .into_iter()
        .find(|tool| declared.iter().any(|it| it.name == tool.name))?;
    Some(format!(
        "`{}` has a tool named `{}` already: give the function another name",
        taken.plugin, taken.name
    ))
}
