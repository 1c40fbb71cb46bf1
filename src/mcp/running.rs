//! What every request that runs something has: a place among those that run, its notifications on their
//! way, and an end when it is cancelled or the server has to stop.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rmcp::ErrorData;
use tokio_util::sync::CancellationToken;

use super::asking::Asked;
use super::hub::Hub;
use super::requests::Caller;
use super::task::InTask;
use super::watching::{Notes, Wanted};
use crate::host::CallOptions;
use crate::input::Responder;

impl Hub {
    /// Runs what answers a request: with its notifications on their way, and until it is cancelled or
    /// the server has to stop.
    ///
    /// What is run is boxed: it is large, and rmcp moves the future that all of them are in.
    pub(super) async fn run<'r, T>(
        &self,
        logger: &str,
        caller: &Caller<'_>,
        run: impl FnOnce(CallOptions) -> BoxFuture<'r, T>,
    ) -> Result<T, ErrorData> {
        let _running = self.enter()?;
        let options = self
            .options(caller.principal)
            .cancellation(caller.cancel.clone())
            .of_client(caller.order)
            .owned_by(caller.owner.clone());
        let options = match caller.is_stateless {
            true => options.advertise(caller.can_ask),
            false => options.responder(self.responder(caller)),
        };
        let teller = self.teller.clone();
        if caller.token.is_none() && caller.level.is_none() {
            let run = run(options.watcher(teller));
            return Ok(self.until_stop(caller.cancel, run).await);
        }
        let wanted = Wanted {
            origin: caller.origin,
            token: caller.token.clone(),
            level: caller.level,
            logger: logger.to_owned(),
            task: caller.task.clone(),
        };
        let notes = Notes::new(wanted, teller, caller.peer.clone());
        let run = run(options.watcher(notes.clone()));
        let run = pin!(self.until_stop(caller.cancel, run));
        Ok(notes.during(run).await)
    }

    /// Who answers what is asked in a session.
    fn responder(&self, caller: &Caller<'_>) -> Arc<dyn Responder> {
        let asked = Asked {
            origin: caller.origin,
            peer: caller.peer.clone(),
            kinds: caller.can_ask,
            asks: self.asks.clone(),
            owner: caller.owner.clone(),
            client: caller.principal.map(|it| it.name.clone()),
        };
        match &caller.task {
            None => Arc::new(asked),
            Some(task) => Arc::new(InTask {
                asked,
                task: task.clone(),
            }),
        }
    }

    async fn until_stop<T>(&self, cancel: &CancellationToken, mut run: BoxFuture<'_, T>) -> T {
        tokio::select! {
            biased;
            result = &mut run => result,
            () = self.stop().cancelled() => {
                cancel.cancel();
                run.await
            }
        }
    }
}
