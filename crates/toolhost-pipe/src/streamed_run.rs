//! Runs of responses that arrive as events: calls that can change nothing start while the model still speaks.

use std::io;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use futures_util::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use toolhost_core::wire::{DecodeError, Delta, Events, Received, event_data};
use toolhost_core::{CallError, OpenBatch, ToolCall};

use crate::protocol::{ErrorCode, RunFailure, StreamKind};
use crate::runs::{Finished, Job, StreamPiece, suspending};

/// The longest response.
const MAX_STREAM: usize = 64 << 20;

pub(crate) type Pieces = mpsc::UnboundedReceiver<StreamPiece>;

/// The data of each event.
fn data_of(kind: StreamKind, pieces: Pieces) -> BoxStream<'static, Result<String, DecodeError>> {
    let state = (pieces, 0, false);
    let texts =
        futures_util::stream::unfold(state, |(mut pieces, mut total, is_over)| async move {
            if is_over {
                return None;
            }
            let text = match pieces.recv().await {
                Some(StreamPiece::Data(text)) => {
                    total += text.len();
                    match total > MAX_STREAM {
                        true => Err(format!("it is larger than {} MiB", MAX_STREAM >> 20)),
                        false => Ok(text),
                    }
                }
                Some(StreamPiece::End(None)) => return None,
                Some(StreamPiece::End(Some(why))) => Err(why),
                None => Err("the client left".to_owned()),
            };
            let is_over = text.is_err();
            Some((text, (pieces, total, is_over)))
        });
    match kind {
        StreamKind::Events => texts
            .map(|text| text.map_err(|why| DecodeError::Broken { why }))
            .boxed(),
        StreamKind::Text => {
            let bytes = texts.map(|text| text.map(Bytes::from).map_err(io::Error::other));
            event_data(bytes).boxed()
        }
    }
}

/// Runs the calls of a stream.
pub(crate) async fn run(job: Job, kind: StreamKind, events: Events, pieces: Pieces) {
    let batch = job.host.host.open_batch_with(job.options.clone());
    let mut run = StreamedRun {
        batch,
        events,
        finished: Finished::default(),
        job,
    };
    let parent = run.job.parent.clone();
    let results = async {
        let received = run.read(data_of(kind, pieces)).await;
        run.end(received).await;
    };
    suspending(parent.as_ref(), results).await;
    run.job.done(run.finished);
}

struct StreamedRun {
    batch: OpenBatch,
    events: Events,
    finished: Finished,
    job: Job,
}

impl StreamedRun {
    /// Reads the stream to its end, and starts calls on the way. `None` if there is no whole response.
    async fn read(
        &mut self,
        mut data: BoxStream<'static, Result<String, DecodeError>>,
    ) -> Option<Received> {
        let cancel = self.job.cancel.clone();
        while !self.events.is_over() {
            // Once the response has ended and some time has passed.
            let until = self.events.until();
            let until =
                OptionFuture::from(until.map(|until| tokio::time::sleep_until(until.into())));
            let is_running = self.batch.running() > 0;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                event = data.next() => {
                    let taken = match event {
                        Some(Ok(data)) => self.events.event(&data).map(|deltas| self.begin(deltas)),
                        Some(Err(error)) => self.events.broke(error),
                        None => break,
                    };
                    if let Err(error) = taken {
                        self.fail(&error);
                        break;
                    }
                }
                Some(()) = until => {
                    self.events.fell_silent();
                    break;
                }
                Some((position, result)) = self.batch.next(), if is_running => {
                    self.finished.take(&self.job, position, result);
                }
            }
        }
        match self.events.finish() {
            Ok((deltas, received)) => {
                self.begin(deltas);
                if !received.is_complete {
                    self.fail(&DecodeError::Broken {
                        why: "it ended before the response was complete".to_owned(),
                    });
                }
                Some(received)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn begin(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            if let Delta::Call { position, call } = delta {
                let call = self.restored(call);
                self.batch.add_early(position, call);
            }
        }
    }

    /// The call with its tool's own name.
    fn restored(&self, mut call: ToolCall) -> ToolCall {
        if let Some(format) = self.events.format() {
            let names = self.job.host.names(format);
            names.restore(std::slice::from_mut(&mut call));
        }
        call
    }

    fn fail(&mut self, error: &DecodeError) {
        let failure = RunFailure {
            code: match error {
                DecodeError::Broken { .. } => ErrorCode::BrokenStream,
                _ => ErrorCode::InvalidResponse,
            },
            message: error.to_string(),
        };
        self.finished.failure.get_or_insert(failure);
    }

    /// The stream has ended: starts the deferred calls, or answers them if the response is void.
    async fn end(&mut self, received: Option<Received>) {
        self.finished.format = self.events.format();
        let is_whole = self.finished.failure.is_none() && received.is_some();
        let cut = received
            .as_ref()
            .map_or(&[][..], |received| &received.reply.cut);
        for position in cut {
            self.batch.forget(*position);
        }
        if is_whole {
            self.batch.complete();
        } else {
            let error = match self.job.cancel.is_cancelled() {
                true => CallError::Cancelled,
                false => {
                    CallError::failed("not run: the response broke off before it was complete")
                }
            };
            for (position, call) in self.batch.abandon() {
                let result = self.batch.refuse(&call, error.clone());
                self.finished.take(&self.job, position, result);
            }
        }
        while let Some((position, result)) = self.batch.next().await {
            self.finished.take(&self.job, position, result);
        }
        if let Some(received) = received {
            for position in &received.reply.cut {
                // It may have started before the API called it malformed.
                let has_result = self.finished.has(*position);
                let Some(call) = received.reply.calls.get(*position).filter(|_| !has_result) else {
                    continue;
                };
                let call = self.restored(call.clone());
                let result = self.batch.refuse(&call, received.reply.cut_error());
                self.finished.take(&self.job, *position, result);
            }
            self.finished.reply = received.reply.messages;
        }
    }
}
