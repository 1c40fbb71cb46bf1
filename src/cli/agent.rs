//! `toolhost agent`: asks a model, and runs the tools it calls.

mod approve;
mod arguments;
mod events;
mod screen;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::json;
use toolhost::agent::{Agent, AgentError, Event, FinalAnswer, HostReplacer, Observer};
use toolhost::manifest::{AgentConfig, Use};
use toolhost::wire::{Format, Stop, ToolChoice};
use toolhost::{AskFirst, Loader, Manifest, ToolHost, ToolResult};

use super::ask::Asker;
use super::input::read_text;
use super::interrupt::Interrupts;
use super::out::{self, Out, say};
use super::reload::{FileSnapshot, ReloadTarget, Reloader};
use super::terminal::Terminal;
use super::{
    ANSWERED, CommandContext, HostOptions, MAX_ITERATIONS, Status, USAGE, api_parser, timeline,
};
use screen::Screen;

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct AgentOptions {
    /// Question to ask; `-` reads it from stdin
    question: Option<String>,

    /// Stream the model's answers and start calls while they arrive [default: on a terminal and with
    /// --json]
    #[arg(long, overrides_with = "no_stream")]
    stream: bool,

    /// Request complete answers instead of streams
    #[arg(long)]
    no_stream: bool,

    /// Print events as JSON Lines instead of the answer
    #[arg(long)]
    json: bool,

    /// Draw a timeline of the calls of each answer on stderr
    #[arg(long)]
    timeline: bool,

    /// Offer only `run_script`, `search_tools` and `describe_tool`: programs call the other tools
    #[arg(long)]
    code_mode: bool,

    /// Save every message to this new file
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,

    /// Continue this transcript and add to it
    #[arg(long, value_name = "FILE", conflicts_with = "transcript")]
    resume: Option<PathBuf>,

    /// Ask before running a tool that is not marked read-only; without a terminal such calls are
    /// refused
    #[arg(long)]
    approve: bool,

    /// Allow all tools, overriding --approve
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    host: HostOptions,

    #[command(flatten)]
    model: ModelOptions,
}

const AFTER_HELP: &str = "\
The API key is read from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY or \
GEMINI_API_KEY) or from the source named by `key` in [agent]; Ollama on this machine needs none. A server that the \
manifest names with `base-url` only gets the key that the manifest names.

Ctrl-C cancels the running calls and tells the model; Ctrl-C again, or while no call runs, quits.

Examples:
  toolhost agent \"What is 2 ft in cm?\"
  toolhost agent --provider openai-chat --base-url http://127.0.0.1:8080/v1 --model local \"…\"
  toolhost agent --provider ollama --model qwen3 \"…\"
  toolhost agent --transcript talk.jsonl \"…\" && toolhost agent --resume talk.jsonl \"And then?\"";

/// What [agent] in the manifest says, too.
#[derive(clap::Args)]
#[command(next_help_heading = "Model options (override the manifest's [agent])")]
struct ModelOptions {
    /// Model API to use
    #[arg(long, value_parser = api_parser())]
    provider: Option<Format>,

    /// Model name
    #[arg(long)]
    model: Option<String>,

    /// API URL, such as http://127.0.0.1:8080/v1 [default: the provider's]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// System prompt
    #[arg(long, value_name = "TEXT")]
    system_prompt: Option<String>,

    /// Sampling temperature, from 0 to 2
    #[arg(long, value_name = "NUMBER", value_parser = parse_temperature)]
    temperature: Option<f64>,

    /// Maximum tokens per answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,

    /// Maximum number of requests per question [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_iterations: Option<u16>,

    /// Let the model make only one call at a time
    #[arg(long)]
    no_parallel: bool,

    /// Whether the first answer must call tools: auto, none, required, or a tool's name
    #[arg(long, value_name = "CHOICE")]
    tool_choice: Option<ToolChoice>,

    /// Compact results longer than this many characters [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    max_result_chars: Option<u32>,
}

impl ModelOptions {
    fn apply(self, config: &mut AgentConfig) -> anyhow::Result<()> {
        config.provider = self.provider.or(config.provider);
        config.model = self.model.or(config.model.take());
        config.system_prompt = self.system_prompt.or(config.system_prompt.take());
        config.temperature = self.temperature.or(config.temperature);
        config.max_tokens = self.max_tokens.or(config.max_tokens);
        if let Some(count) = self.max_iterations {
            config.max_iterations = count.into();
        }
        config.parallel &= !self.no_parallel;
        if let Some(choice) = self.tool_choice {
            config.tool_choice = choice;
        }
        if let Some(count) = self.max_result_chars {
            config.max_result_chars = count as usize;
        }
        if let Some(url) = self.base_url {
            // Not by clap, which would print it: it may contain a password.
            let url = AgentConfig::parse_base_url(&url);
            config.base_url = Some(url.map_err(|must| anyhow::anyhow!("--base-url {must}"))?);
            // Naming a server means to authenticate there.
            config.key = config.key.take().or_else(|| config.usual_key());
        }
        Ok(())
    }
}

fn parse_temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (0.0..=2.0).contains(number));
    number.ok_or_else(|| "must be a number from 0 to 2".to_owned())
}

pub(super) async fn run(options: AgentOptions, session: CommandContext) -> anyhow::Result<Status> {
    let question = match options.question.as_deref() {
        Some("-") => Some(piped_question()?),
        Some(question) => Some(question.to_owned()),
        None if options.resume.is_some() => None,
        None if io::stdin().is_terminal() => {
            say!("error: missing QUESTION, and stdin is a terminal; see `toolhost agent --help`");
            return Ok(USAGE);
        }
        None => Some(piped_question()?),
    };
    let interrupts = session.interrupts.clone();
    let manifest = session.effective_manifest(&options.host, Use::Agent)?;
    let mut config = manifest.agent.clone();
    options.model.apply(&mut config)?;
    let stdout_is_terminal = Out::stdout().is_terminal();
    let stream = !options.no_stream && (options.stream || options.json || stdout_is_terminal);
    let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let terminal = Terminal::open(lines.clone());
    let view: SharedView = match options.json {
        true => Arc::new(Mutex::new(events::EventLines)),
        false => Arc::new(Mutex::new(Screen::new(lines, stdout_is_terminal && stream))),
    };
    let approvals = (options.approve && !options.yes)
        .then(|| Arc::new(approve::hook(terminal.clone(), view.clone())));
    let loaded = FileSnapshot::of(&manifest, session.trust_file());
    let loader = with_approvals(Loader::new(manifest.clone()), &approvals);
    let loader = loader.code_mode(options.code_mode);
    let host = session.load_by(loader).await?;
    let mut agent = Agent::new(host.clone(), config)?
        .options(options.host.call_options())
        .stream(stream);
    let reloader = Reloader {
        session,
        options: options.host,
        target: AgentHost {
            host,
            replacer: agent.host_replacer(),
            approvals,
            code_mode: options.code_mode,
            view: view.clone(),
        },
        manifest,
        loaded,
    };
    let _reload = reloader.begin();
    out::add_mask(agent.mask());
    if let Some(file) = &options.transcript {
        agent.keep_transcript(file)?;
    }
    if let Some(file) = &options.resume {
        agent.resume(file)?;
    }
    if question.is_none() && !agent.waits_for_model() {
        bail!("the transcript ends with an answer: pass a new QUESTION");
    }
    if let Some(terminal) = terminal {
        agent = agent.responder(Arc::new(Asker(terminal)));
    }
    let mut onlooker = Onlooker::new(view.clone(), interrupts.clone());
    onlooker.timeline = options.timeline.then(Timeline::default);
    let interrupter = agent.interrupter();
    let asked_to_end = onlooker.interrupted.clone();
    tokio::spawn(async move {
        loop {
            interrupts.asked().await;
            asked_to_end.store(true, std::sync::atomic::Ordering::SeqCst);
            interrupter.interrupt();
        }
    });
    let ended = match question {
        Some(question) => agent.ask(&question, &mut onlooker).await,
        None => agent.go_on(&mut onlooker).await,
    };
    finish(&agent, ended, &mut *lock(&view), options.json)
}

/// The hook that asks, the same for every host: it remembers what is always allowed.
type Approvals = Option<Arc<AskFirst>>;

fn with_approvals(loader: Loader, approvals: &Approvals) -> Loader {
    match approvals {
        Some(hook) => loader.hook(hook.clone()),
        None => loader,
    }
}

/// The agent's host, as a reload knows it.
struct AgentHost {
    host: ToolHost,
    replacer: HostReplacer,
    approvals: Approvals,
    code_mode: bool,
    view: SharedView,
}

impl ReloadTarget for AgentHost {
    const RELOADS_ON_HANGUP: bool = false;

    fn needed_for(&self) -> Use {
        Use::Agent
    }

    fn host(&self) -> ToolHost {
        self.host.clone()
    }

    fn check(&self, _: &Manifest, _: &Manifest) -> anyhow::Result<()> {
        Ok(())
    }

    fn equip(&self, loader: Loader, _: &Manifest) -> Loader {
        with_approvals(loader, &self.approvals).code_mode(self.code_mode)
    }

    fn take(&mut self, host: ToolHost, _: &Manifest) -> anyhow::Result<()> {
        self.host = host.clone();
        self.replacer.replace(host);
        Ok(())
    }

    fn show(&self, write: &mut dyn FnMut(&mut Out)) {
        lock(&self.view).suspended(&mut || write(&mut Out::stderr()));
    }
}

fn piped_question() -> anyhow::Result<String> {
    let question = read_text("the question")?;
    let question = question.trim();
    if question.is_empty() {
        bail!("the question is empty");
    }
    Ok(question.to_owned())
}

fn finish(
    agent: &Agent,
    ended: Result<FinalAnswer, AgentError>,
    view: &mut dyn View,
    json: bool,
) -> anyhow::Result<Status> {
    match &ended {
        Ok(answer) => view.answer(answer)?,
        Err(error) => view.failed(error)?,
    }
    let summary = agent.summary();
    // Microseconds are enough precision.
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    if json {
        events::print(
            &json!({ "event": "summary", "turns": summary.turns, "calls": summary.calls,
            "errors": summary.errors, "wall_ms": ms(summary.wall), "one_by_one_ms": ms(summary.one_by_one),
            "input_tokens": summary.tokens.input, "output_tokens": summary.tokens.output }),
        )?;
    } else if Out::stderr().is_terminal() && summary.calls > 0 {
        let line = timeline::sum(summary.calls, summary.wall, summary.one_by_one);
        Out::stderr().line(line)?;
    }
    match ended {
        Ok(FinalAnswer {
            stop: Stop::Length, ..
        }) => {
            say!("warning: the answer was cut off at the token limit; see --max-tokens");
            Ok(ANSWERED)
        }
        Ok(FinalAnswer {
            stop: Stop::Other(reason),
            ..
        }) => {
            say!("warning: the answer ended early: {reason}");
            Ok(ANSWERED)
        }
        Ok(_) => Ok(ANSWERED),
        Err(error @ AgentError::MaxIterations) => {
            say!("Error: {error}");
            Ok(MAX_ITERATIONS)
        }
        Err(error) => Err(error.into()),
    }
}

/// How an agent's work is shown.
trait View: Send {
    fn event(&mut self, event: Event<'_>);

    /// Runs something that writes to the terminal itself.
    fn suspended(&mut self, write: &mut dyn FnMut());

    fn answer(&mut self, answer: &FinalAnswer) -> io::Result<()>;

    fn failed(&mut self, error: &AgentError) -> io::Result<()>;
}

/// Shows the events of the agent; suspended while a question is on the terminal. Both happen in
/// tasks of their own.
type SharedView = Arc<Mutex<dyn View>>;

fn lock(view: &SharedView) -> MutexGuard<'_, dyn View + 'static> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the calls of a turn arrived, and their results.
#[derive(Default)]
struct Timeline {
    first: Option<Instant>,
    /// By number.
    came: BTreeMap<usize, Duration>,
    ended: BTreeMap<usize, ToolResult>,
}

impl Timeline {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Call { number, .. } => {
                let first = *self.first.get_or_insert_with(Instant::now);
                self.came.insert(*number, first.elapsed());
            }
            Event::Result { number, result } => {
                // The user may have been asked about the call first.
                let took = result.usage.queue + result.usage.run;
                let now = self.first.map(|first| first.elapsed());
                if let (Some(came), Some(now)) = (self.came.get_mut(number), now) {
                    *came = (*came).max(now.saturating_sub(took));
                }
                self.ended.insert(*number, (*result).clone());
            }
            _ => {}
        }
    }

    /// Draws the turn, and begins the next.
    fn draw(&mut self) -> String {
        let Timeline { came, ended, .. } = std::mem::take(self);
        let calls: Vec<_> = ended
            .iter()
            .map(|(number, result)| (came[number], result))
            .collect();
        match calls.is_empty() {
            true => String::new(),
            false => timeline::draw_from(&calls),
        }
    }
}

/// The observer: shows events, and makes an interrupt cancel running calls, or end the process if
/// there are none.
struct Onlooker {
    view: SharedView,
    interrupts: Interrupts,
    running: usize,
    /// The calls of this turn, if they are drawn.
    timeline: Option<Timeline>,
    /// Whether the calls of this turn were interrupted.
    interrupted: Arc<std::sync::atomic::AtomicBool>,
}

impl Onlooker {
    fn new(view: SharedView, interrupts: Interrupts) -> Self {
        Onlooker {
            view,
            interrupts,
            running: 0,
            timeline: None,
            interrupted: Arc::default(),
        }
    }
}

impl Observer for Onlooker {
    fn event(&mut self, event: Event<'_>) {
        use std::sync::atomic::Ordering::SeqCst;
        match event {
            Event::Turn { .. } => self.interrupted.store(false, SeqCst),
            Event::Call { .. } => {
                // After the first interrupt, the next ends the process.
                if self.running == 0 && !self.interrupted.load(SeqCst) {
                    self.interrupts.batch_begins();
                }
                self.running += 1;
            }
            Event::Result { .. } => {
                self.running -= 1;
                if self.running == 0 {
                    self.interrupts.batch_ends();
                }
            }
            _ => {}
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.event(&event);
        }
        let is_whole = matches!(event, Event::Reply { .. });
        let mut view = lock(&self.view);
        view.event(event);
        if let Some(timeline) = &mut self.timeline
            && is_whole
        {
            let drawn = timeline.draw();
            view.suspended(&mut || drop(Out::stderr().text(&drawn)));
        }
    }
}
