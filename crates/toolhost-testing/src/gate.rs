//! A gate that holds calls until the test lets them go on, so that no test has to guess how long something takes.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::wait_until;

/// Where calls of the tool `hold` wait: the guest `misbehave` connects, says which call it is, and answers when the
/// connection ends. Dropping the gate opens it.
pub struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// The ids of calls that have come, in that order.
    came: Vec<String>,
    /// The connections of those that are held.
    held: Vec<TcpStream>,
    is_open: bool,
    is_over: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut id = String::new();
                // A call may be ended before it has said who it is.
                let _ = BufReader::new(&stream).read_line(&mut id);
                let mut state = shared.lock().unwrap();
                if state.is_over {
                    break;
                }
                if id.is_empty() {
                    continue;
                }
                state.came.push(id.trim_end().to_owned());
                if !state.is_open {
                    state.held.push(stream);
                }
            }
        });
        Gate {
            address,
            state,
            accepting: Some(accepting),
        }
    }

    /// Where it listens, as a rule of `permissions.sockets` and as the argument `gate` of `hold`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The ids of the calls that have come so far, in that order.
    pub fn came(&self) -> Vec<String> {
        self.state().came.clone()
    }

    /// Waits until so many calls have come, since the gate was made.
    #[track_caller]
    pub fn wait_for(&self, calls: usize) {
        wait_until("the calls come to the gate", || {
            self.state().came.len() >= calls
        });
    }

    /// Lets those go on that are held.
    pub fn release(&self) {
        self.state().held.clear();
    }

    /// Lets all go on, those that will come as well.
    pub fn open(&self) {
        let mut state = self.state();
        state.is_open = true;
        state.held.clear();
    }

    /// Holds those that come from now on.
    pub fn close(&self) {
        self.state().is_open = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[cfg(feature = "host")]
impl Gate {
    /// A plugin of `misbehave` whose calls may come.
    pub fn plugin(&self) -> toolhost::manifest::PluginConfig {
        let mut plugin = crate::plugin("misbehave");
        let rule = self.address().parse().expect("a rule of an address");
        plugin.permissions.sockets.push(rule);
        plugin
    }

    /// The same as a section of a manifest.
    pub fn listed(&self) -> String {
        let listed = crate::binary::listed("misbehave");
        format!("{listed}permissions.sockets = ['{}']\n", self.address)
    }

    /// A call that is held.
    pub fn hold(&self, id: impl ToString) -> toolhost::ToolCall {
        toolhost::ToolCall::new(id.to_string(), "hold", self.arguments().to_string())
    }

    /// The arguments of such a call.
    pub fn arguments(&self) -> serde_json::Value {
        serde_json::json!({ "gate": self.address() })
    }

    /// As [`wait_for`](Gate::wait_for), on a thread that has to run the calls meanwhile.
    pub async fn held(&self, calls: usize) {
        let what = format!("{calls} calls come to the gate");
        let look = async || match self.came() {
            came if came.len() >= calls => Ok(()),
            came => Err(came),
        };
        crate::eventually(&what, look).await;
    }

    /// Runs what makes calls, and opens once so many of them are held.
    pub async fn pass<T>(&self, calls: usize, run: impl Future<Output = T>) -> T {
        self.close();
        let all = self.came().len() + calls;
        let opens = async {
            self.held(all).await;
            self.open();
        };
        futures_util::future::join(run, opens).await.0
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.state().is_over = true;
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
