//! Calls of tools, however they came: by rmcp's dispatch, or past it, from the client of a session.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, JsonObject, RequestId,
    ServerResult,
};

use super::convert::for_session;
use super::found::{arrived, written};
use super::handler::{Context, Session};
use super::hub::Offer;
use super::jobs::Job;
use super::long;
use super::requests::{self, Binding, Caller};
use crate::error::CallError;
use crate::host::{CallOptions, Places};
use crate::tool::{Tool, ToolCall, ToolResult};

impl Session {
    /// Answers a call that came by rmcp's dispatch, which has the result fit the protocol's revision.
    pub(super) async fn call_by_rmcp(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let (offer, caller) = (self.hub.offer(), self.caller(&context));
        let arguments = written(&request.arguments, &context.extensions);
        let mut call = call_of(&offer, &caller, &context.id, &request.name, arguments)?;
        let (state, responses) = (request.request_state, request.input_responses);
        let usual = usual(&call.arguments);
        let binding = Binding::new(
            &offer.plugins,
            caller.principal,
            "tools/call",
            &call.name,
            &usual,
        );
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        call.resumed = resumed.map(Box::new);
        let places = arrived(&context.extensions);
        if caller.takes_tasks {
            let places = places.unwrap_or_else(|| self.places(&call, caller.principal));
            return Job::new(self.hub.clone(), offer, call, binding, &caller)
                .placed(places)
                .answer(&caller)
                .await;
        }
        let result = self.call(&offer, call, &caller, places).await?;
        match result.outcome {
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(*input, &caller, &binding)?.into())
            }
            _ => Ok(long::shown(offer.long.as_deref(), result, &caller.owner).into()),
        }
    }

    async fn call(
        &self,
        offer: &Offer,
        call: ToolCall,
        caller: &Caller<'_>,
        places: Option<Places>,
    ) -> Result<ToolResult, ErrorData> {
        let (host, logger) = (&offer.host, call.name.clone());
        let run = |options: CallOptions| {
            let options = options.placed(places);
            async move { host.call_with(call, &options).await }.boxed()
        };
        self.hub.run(&logger, caller, run).await
    }

    /// Whether a call that came by rmcp is one for [`call_plainly`](Session::call_plainly).
    pub(super) fn is_plain(&self, request: &CallToolRequestParams, context: &Context) -> bool {
        self.known(context).is_some()
            && request.request_state.is_none()
            && request.input_responses.is_none()
    }

    /// Answers such a call.
    pub(super) fn call_plainly(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> {
        let arguments = written(&request.arguments, &context.extensions);
        let (id, name) = (context.id.clone(), request.name.into_owned());
        let places = arrived(&context.extensions);
        async move {
            let caller = self.caller(&context);
            self.answer_call(id, name, arguments, &caller, places).await
        }
    }

    /// Answers a call of a session that has begun, as rmcp's dispatch would.
    pub(super) async fn answer_call(
        &self,
        id: RequestId,
        name: String,
        arguments: String,
        caller: &Caller<'_>,
        places: Option<Places>,
    ) -> Result<ServerResult, ErrorData> {
        let offer = self.hub.offer();
        let call = call_of(&offer, caller, &id, &name, arguments)?;
        if caller.takes_tasks {
            let places = places.unwrap_or_else(|| self.places(&call, caller.principal));
            return self.answer_job(offer, call, caller, places).boxed().await;
        }
        let result = self.call(&offer, call, caller, places).await?;
        let result = long::shown(offer.long.as_deref(), result, &caller.owner);
        let mut result = ServerResult::CallToolResult(result);
        for_session(&mut result);
        Ok(result)
    }

    async fn answer_job(
        &self,
        offer: Arc<Offer>,
        call: ToolCall,
        caller: &Caller<'_>,
        places: Places,
    ) -> Result<ServerResult, ErrorData> {
        let binding = Binding::new(
            &offer.plugins,
            caller.principal,
            "tools/call",
            &call.name,
            &call.arguments,
        );
        let job = Job::new(self.hub.clone(), offer, call, binding, caller).placed(places);
        let mut result = ServerResult::from(job.answer(caller).await?);
        for_session(&mut result);
        Ok(result)
    }
}

/// Arguments without what a client may write differently when it sends them again, as spaces. Long ones are to be the
/// same, as they would take many times their length here.
fn usual(arguments: &str) -> Cow<'_, str> {
    const LONG: usize = 64 << 10;
    if arguments.len() > LONG {
        return Cow::Borrowed(arguments);
    }
    let read: Result<JsonObject, _> = serde_json::from_str(arguments);
    let usual = read.and_then(|read| serde_json::to_string(&read));
    usual.map_or(Cow::Borrowed(arguments), Cow::Owned)
}

/// A call of a client, by the name of its tool. What it may call of the calls inside of one, the host
/// sees to.
///
/// # Errors
///
/// There is no such tool for the client, or it is for clients that take tasks.
fn call_of(
    offer: &Offer,
    caller: &Caller<'_>,
    id: &RequestId,
    name: &str,
    arguments: String,
) -> Result<ToolCall, ErrorData> {
    let mut call = ToolCall::new(id.to_string(), name, arguments);
    call.meta.clone_from(&caller.meta);
    let allowed = requests::allowed(caller.principal);
    let tool = |name: &str| offer.host.tool_for(name, allowed.as_deref());
    match offer.host.unpack(&call) {
        None => {
            let tool = tool(name).map_err(|error| unknown_tool(&error, name))?;
            check_tasks(offer, caller, tool)?;
            call.name.clone_from(&tool.name);
        }
        Some(Ok(unpacked)) => {
            let tools = unpacked.calls().iter();
            let mut tools = tools.filter_map(|call| tool(&call.name).ok());
            tools.try_for_each(|tool| check_tasks(offer, caller, tool))?;
        }
        // What is wrong with its arguments is its result.
        Some(Err(_)) => {}
    }
    Ok(call)
}

/// # Errors
///
/// The tool is for clients that take tasks, and this one does not.
fn check_tasks(offer: &Offer, caller: &Caller<'_>, tool: &Tool) -> Result<(), ErrorData> {
    if offer.info.task_only.contains(&tool.name) && !caller.takes_tasks {
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
