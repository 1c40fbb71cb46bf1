//! The one dispatcher of `tools/call`.
//!
//! | way in | the message is read by | and handed over by |
//! | --- | --- | --- |
//! | stdio, in a session | `stdio/lines.rs` | `ClientSession::answer` |
//! | HTTP, a plain call in a session | `http/fast_path.rs` | `HttpSession::call` |
//! | HTTP, any other call in a session | rmcp | `ClientSession::answer` |
//! | without a session, on either transport | rmcp | rmcp, `ServerHandler::call_tool` |
//!
//! A transport decides how bytes come and go, and names the [`Caller`]. Everything else is decided
//! here and in [`running_requests`], in this order: the token's tools, whether the tool exists, the client's
//! capabilities, `requestState` of a repeated call, its places in order, whether it may become a
//! task; then whether the server still accepts requests, its notifications and questions, and
//! cancellation. What is the same for all calls of a host is in the host: rates, permits,
//! deadlines, the schema.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, Extensions, InputResponses,
    JsonObject, RequestId,
};

use crate::server::caller::{self, Caller};
use crate::server::catalogue::Catalogue;
use crate::server::detached_call::Job;
use crate::server::request_state::{self, Binding};
use crate::server::running_requests;
use crate::server::server_state::ServerState;
use toolhost_core::error::CallError;
use toolhost_core::host::TakenPlaces;
use toolhost_core::locks::lock;
use toolhost_core::tool::{Tool, ToolCall};

/// A `tools/call`, from any transport.
pub(crate) struct IncomingCall {
    /// Its arguments are a JSON object, or a string that should contain one, as the client wrote it
    /// if that is known.
    pub(crate) call: ToolCall,
    /// The places in order taken when its message was read.
    pub(crate) places: Option<TakenPlaces>,
    /// The `requestState` of a call that is made again.
    pub(crate) state: Option<String>,
    pub(crate) responses: Option<InputResponses>,
}

impl IncomingCall {
    /// A call that rmcp has read.
    pub(crate) fn of(
        request: CallToolRequestParams,
        id: &RequestId,
        extensions: &Extensions,
    ) -> IncomingCall {
        let arrived = extensions
            .get()
            .or_else(|| caller::of_http(extensions))
            .and_then(ArrivedCall::take);
        let (call, places) = match arrived {
            Some((call, places)) => (call, Some(places)),
            None => (as_read(&request, id), None),
        };
        IncomingCall {
            call,
            places,
            state: request.request_state,
            responses: request.input_responses,
        }
    }
}

/// A call as rmcp has read it: numbers of more than 64 bits have lost precision.
pub(crate) fn as_read(request: &CallToolRequestParams, id: &RequestId) -> ToolCall {
    let arguments = request.arguments.as_ref();
    let arguments = arguments.and_then(|arguments| serde_json::to_string(arguments).ok());
    ToolCall::new(
        id.to_string(),
        &*request.name,
        arguments.unwrap_or_default(),
    )
}

/// A call as its message had it, with the places taken for it, which the first taker gets. It
/// travels in the extensions of its request, or of the HTTP request that carried it.
#[derive(Clone)]
pub(crate) struct ArrivedCall(Arc<Mutex<Option<(ToolCall, TakenPlaces)>>>);

impl ArrivedCall {
    pub(crate) fn new(call: ToolCall, places: TakenPlaces) -> ArrivedCall {
        ArrivedCall(Arc::new(Mutex::new(Some((call, places)))))
    }

    fn take(&self) -> Option<(ToolCall, TakenPlaces)> {
        lock(&self.0).take()
    }
}

/// Answers a call. Everything that needs no waiting is decided here at once, so that the future
/// stays small: there may be thousands.
///
/// # Errors
///
/// The client may not make this call, or the server is shutting down. Failures of the tool are its
/// result.
pub(crate) fn dispatch(
    server: &Arc<ServerState>,
    incoming: IncomingCall,
    caller: Caller,
) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send + use<> {
    let mut job = prepare(server.clone(), incoming, caller);
    async move {
        let job = job.as_mut().map_err(|error| error.clone())?;
        if job.caller.takes_tasks {
            // Boxed: it is large, and the futures around it are moved.
            return job.take().answer().boxed().await;
        }
        let (call, places) = (std::mem::take(&mut job.call), job.places.take());
        let (server, catalogue) = (&job.server, &job.catalogue);
        let result =
            running_requests::run_call(server, catalogue, call, &job.caller, places).await?;
        if let (Err(CallError::InputRequired(input)), Some(binding)) =
            (&result.outcome, &job.binding)
            && job.caller.is_stateless
        {
            let (states, can_ask) = (&server.request_states, job.caller.can_ask);
            return Ok(request_state::input_required(input, can_ask, states, binding)?.into());
        }
        Ok(job.shown(result))
    }
}

/// # Errors
///
/// The client may not make this call.
fn prepare(
    server: Arc<ServerState>,
    incoming: IncomingCall,
    mut caller: Caller,
) -> Result<Job, ErrorData> {
    let catalogue = server.catalogue();
    let IncomingCall {
        mut call,
        mut places,
        state,
        responses,
    } = incoming;
    call.meta = caller.meta.take();
    check(&catalogue, &caller, &mut call)?;
    // A client with a session is asked while its call runs; there is no state to bind.
    let is_resumed = state.is_some() || responses.is_some();
    let binding = (caller.is_stateless || is_resumed).then(|| binding(&catalogue, &caller, &call));
    if let Some(binding) = &binding {
        let states = &server.request_states;
        let resumed = request_state::resumption(states, binding, state, responses)?;
        call.resumed = resumed.map(Box::new);
    }
    if caller.takes_tasks && places.is_none() {
        let options = catalogue.options(caller.principal.as_ref(), caller.order);
        places = Some(catalogue.host.places(&call, &options));
    }
    Ok(Job {
        server,
        catalogue,
        call,
        caller,
        binding,
        places,
    })
}

/// Checks whether a client may make a call, and gives the call its tool's exact name. The host
/// checks the inner calls of a call that stands for several.
///
/// # Errors
///
/// There is no such tool for the client, or it needs a client with tasks.
fn check(catalogue: &Catalogue, caller: &Caller, call: &mut ToolCall) -> Result<(), ErrorData> {
    let allowed = caller.allowed();
    let tool = |name: &str| catalogue.host.tool_for(name, allowed.as_deref());
    match catalogue.host.unpack(call) {
        None => {
            let tool = tool(&call.name).map_err(|error| unknown_tool(&error, &call.name))?;
            check_tasks(catalogue, caller, tool)?;
            call.name.clone_from(&tool.name);
        }
        Some(Ok(unpacked)) => {
            let tools = unpacked.calls().iter();
            let mut tools = tools.filter_map(|call| tool(&call.name).ok());
            tools.try_for_each(|tool| check_tasks(catalogue, caller, tool))?;
        }
        // Invalid arguments are reported in the result.
        Some(Err(_)) => {}
    }
    Ok(())
}

/// # Errors
///
/// The tool needs a client with tasks, and this one has none.
fn check_tasks(catalogue: &Catalogue, caller: &Caller, tool: &Tool) -> Result<(), ErrorData> {
    if catalogue.info.task_only.contains(&tool.name) && !caller.takes_tasks {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    Ok(())
}

fn unknown_tool(error: &CallError, name: &str) -> ErrorData {
    let text = error.to_model_text(name);
    let text = text.strip_prefix("Error: ").unwrap_or(&text).to_owned();
    let code = serde_json::json!({ "code": error.code() });
    ErrorData::invalid_params(text, Some(code))
}

/// What the state of a call is bound to. Arguments are normalized, since a client may write them
/// differently when it sends them again; long ones must be the same text, as parsing takes many
/// times their length.
fn binding(catalogue: &Catalogue, caller: &Caller, call: &ToolCall) -> Binding {
    const LONG: usize = 64 << 10;
    let arguments = &*call.arguments;
    let usual = match arguments.len() > LONG {
        true => None,
        false => serde_json::from_str::<JsonObject>(arguments).ok(),
    };
    let usual = usual.and_then(|read| serde_json::to_string(&read).ok());
    let usual = usual.as_deref().unwrap_or(arguments);
    let principal = caller.principal.as_ref();
    Binding::new(
        &catalogue.plugins,
        principal,
        "tools/call",
        &call.name,
        usual,
    )
}
