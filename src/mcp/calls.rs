//! Calls of tools, however they came: by rmcp's dispatch, or past it, from the client of a session.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, JsonObject, RequestId,
    ServerResult,
};

use super::arriving::Arrived;
use super::handler::{Context, Session};
use super::hub::Offer;
use super::jobs::Job;
use super::reading::Written;
use super::requests::{self, Binding, Caller};
use crate::error::CallError;
use crate::host::CallOptions;
use crate::order::Place;
use crate::serve::Principal;
use crate::tool::{ToolCall, ToolResult};

impl Session {
    /// Answers a call that came by rmcp's dispatch, which has the result fit the protocol's revision.
    pub(super) async fn call_by_rmcp(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let (offer, caller) = (self.hub.offer(), self.caller(&context));
        let tool = tool_for(&offer, &caller, &request.name)?;
        let arguments = written(request.arguments, &context)?;
        let mut call = ToolCall::new(context.id.to_string(), tool, arguments);
        call.meta.clone_from(&caller.meta);
        let (state, responses) = (request.request_state, request.input_responses);
        let usual = usual(&call.arguments);
        let binding = Binding::new(caller.principal, "tools/call", &call.name, &usual);
        if let Some(reader) = offer.reader(&call.name) {
            return Ok(self.hub.long.read(reader, &call, &caller.owner).into());
        }
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        call.resumed = resumed.map(Box::new);
        let place = context.extensions.get().and_then(Arrived::take);
        if caller.takes_tasks {
            let place = place.or_else(|| self.place(&context.id, &call.name));
            return Job::new(self.hub.clone(), offer, call, binding, &caller)
                .placed(place)
                .answer(&caller)
                .await;
        }
        let result = self.call(&offer, call, &caller, place).await?;
        match result.outcome {
            Err(CallError::InputRequired(input)) if caller.is_stateless => {
                Ok(self.ask(*input, &caller, &binding)?.into())
            }
            _ => Ok(self.hub.long.shown(&offer, result, &caller.owner).into()),
        }
    }

    async fn call(
        &self,
        offer: &Offer,
        call: ToolCall,
        caller: &Caller<'_>,
        place: Option<Place>,
    ) -> Result<ToolResult, ErrorData> {
        let (host, logger) = (&offer.host, call.name.clone());
        let run = |options: CallOptions| {
            let options = options.placed(place);
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
        let arguments = written(request.arguments, &context);
        let (id, name) = (context.id.clone(), request.name.into_owned());
        let place = context.extensions.get().and_then(Arrived::take);
        async move {
            let caller = self.caller(&context);
            self.answer_call(id, name, arguments?, &caller, place).await
        }
    }

    /// Answers a call of a session that has begun, as rmcp's dispatch would.
    pub(super) async fn answer_call(
        &self,
        id: RequestId,
        name: String,
        arguments: String,
        caller: &Caller<'_>,
        place: Option<Place>,
    ) -> Result<ServerResult, ErrorData> {
        let offer = self.hub.offer();
        let tool = tool_for(&offer, caller, &name)?;
        let mut call = ToolCall::new(id.to_string(), tool, arguments);
        call.meta.clone_from(&caller.meta);
        let result = match offer.reader(&call.name) {
            Some(reader) => self.hub.long.read(reader, &call, &caller.owner),
            None if caller.takes_tasks => {
                let place = place.or_else(|| self.place(&id, &call.name));
                return self.answer_job(offer, call, caller, place).boxed().await;
            }
            None => {
                let result = self.call(&offer, call, caller, place).await?;
                self.hub.long.shown(&offer, result, &caller.owner)
            }
        };
        let mut result = ServerResult::CallToolResult(result);
        for_session(&mut result);
        Ok(result)
    }

    async fn answer_job(
        &self,
        offer: Arc<Offer>,
        call: ToolCall,
        caller: &Caller<'_>,
        place: Option<Place>,
    ) -> Result<ServerResult, ErrorData> {
        let binding = Binding::new(caller.principal, "tools/call", &call.name, &call.arguments);
        let job = Job::new(self.hub.clone(), offer, call, binding, caller).placed(place);
        let mut result = ServerResult::from(job.answer(caller).await?);
        for_session(&mut result);
        Ok(result)
    }
}

/// Has a result fit the revisions that have sessions.
pub(super) fn for_session(result: &mut ServerResult) {
    result.strip_result_type_for_legacy_peer();
    result.strip_non_object_output_for_legacy_peer();
}

/// Arguments as a tool gets them: as the client wrote them, where that is known.
fn written(arguments: Option<JsonObject>, context: &Context) -> Result<String, ErrorData> {
    let over_http = || {
        let parts = context.extensions.get::<http::request::Parts>()?;
        parts.extensions.get()
    };
    if let Some(Written(text)) = context.extensions.get().or_else(over_http) {
        return Ok(text.to_string());
    }
    serde_json::to_string(&arguments.unwrap_or_default())
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))
}

/// Arguments without what a client may write differently when it sends them again, as spaces.
fn usual(arguments: &str) -> Cow<'_, str> {
    let read: Result<JsonObject, _> = serde_json::from_str(arguments);
    let usual = read.and_then(|read| serde_json::to_string(&read));
    usual.map_or(Cow::Borrowed(arguments), Cow::Owned)
}

/// The tool that a call of that name is for, if this client may call it. The error names only what it
/// may call.
fn tool_for<'o>(offer: &'o Offer, caller: &Caller<'_>, name: &str) -> Result<&'o str, ErrorData> {
    let principal = caller.principal;
    let name = offer.host.tool(name).map_or(name, |tool| &*tool.name);
    let tool = offer.tool(name).map(|tool| &*tool.name);
    let Some(tool) = tool.filter(|tool| offer.may_call(principal, tool)) else {
        return Err(unknown_tool(offer, principal, name));
    };
    if offer.info.task_only.contains(tool) && !caller.takes_tasks {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    Ok(tool)
}

fn unknown_tool(offer: &Offer, principal: Option<&Principal>, name: &str) -> ErrorData {
    let names = offer.tools.iter().map(|tool| &*tool.name);
    let allowed = names.filter(|name| offer.may_call(principal, name));
    let error = CallError::UnknownTool {
        similar: crate::error::similar(name, allowed),
    };
    let text = error.to_model_text(name);
    let text = text.strip_prefix("Error: ").unwrap_or(&text).to_owned();
    let code = serde_json::json!({ "code": error.code() });
    ErrorData::invalid_params(text, Some(code))
}
