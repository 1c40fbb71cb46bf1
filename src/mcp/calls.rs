//! Calls of tools, however they came: by rmcp's dispatch, or past it, from the client of a session.

use futures_util::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, InputResponses, JsonObject, RequestId, ServerResult,
};

use super::arriving::Arrived;
use super::convert;
use super::handler::{Context, Session};
use super::hub::Offer;
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
        check_tool(&offer, caller.principal, &request.name)?;
        let arguments = text(request.arguments)?;
        let call = ToolCall::new(context.id.to_string(), request.name, arguments);
        let (state, responses) = (request.request_state, request.input_responses);
        let place = context.extensions.get().and_then(Arrived::take);
        if caller.is_stateless || state.is_some() || responses.is_some() {
            return self
                .call_again(&offer, call, state, responses, &caller, place)
                .await;
        }
        let result = self.call(&offer, call, &caller, place).await?;
        Ok(convert::result(result).into())
    }

    async fn call(
        &self,
        offer: &Offer,
        mut call: ToolCall,
        caller: &Caller<'_>,
        place: Option<Place>,
    ) -> Result<ToolResult, ErrorData> {
        call.meta = caller.meta.clone();
        let (host, logger) = (&offer.host, call.name.clone());
        let run = |options: CallOptions| {
            let options = options.placed(place);
            async move { host.call_with(call, &options).await }.boxed()
        };
        self.run(&logger, caller, run).await
    }

    /// As [`call`](Session::call), of a client whose state and responses come along.
    async fn call_again(
        &self,
        offer: &Offer,
        mut call: ToolCall,
        state: Option<String>,
        responses: Option<InputResponses>,
        caller: &Caller<'_>,
        place: Option<Place>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (name, arguments) = (&call.name, &call.arguments);
        let binding = Binding::new(caller.principal, "tools/call", name, arguments);
        let resumed = requests::resumption(&self.hub.seal, &binding, state, responses)?;
        call.resumed = resumed.map(Box::new);
        let result = self.call(offer, call, caller, place).await?;
        match result.outcome {
            Err(CallError::InputRequired(input)) => Ok(self.ask(*input, caller, &binding)?.into()),
            _ => Ok(convert::result(result).into()),
        }
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
        let arguments = text(request.arguments);
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
        check_tool(&offer, caller.principal, &name)?;
        let call = ToolCall::new(id.to_string(), name, arguments);
        let result = self.call(&offer, call, caller, place).await?;
        let mut result = ServerResult::CallToolResult(convert::result(result));
        result.strip_result_type_for_legacy_peer();
        result.strip_non_object_output_for_legacy_peer();
        Ok(result)
    }
}

/// Arguments as a tool gets them.
fn text(arguments: Option<JsonObject>) -> Result<String, ErrorData> {
    serde_json::to_string(&arguments.unwrap_or_default())
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))
}

/// Whether there is such a tool for this client. The error names only what it may call.
fn check_tool(offer: &Offer, principal: Option<&Principal>, name: &str) -> Result<(), ErrorData> {
    match offer.tool(name).is_some() && requests::may_call(principal, name) {
        true => Ok(()),
        false => Err(unknown_tool(offer, principal, name)),
    }
}

fn unknown_tool(offer: &Offer, principal: Option<&Principal>, name: &str) -> ErrorData {
    let names = offer.tools.iter().map(|tool| &*tool.name);
    let allowed = names.filter(|name| requests::may_call(principal, name));
    let error = CallError::UnknownTool {
        similar: crate::error::similar(name, allowed),
    };
    let text = error.to_model_text(name);
    let text = text.strip_prefix("Error: ").unwrap_or(&text).to_owned();
    let code = serde_json::json!({ "code": error.code() });
    ErrorData::invalid_params(text, Some(code))
}
