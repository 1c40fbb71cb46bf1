//! `requestState`: the state that a tool wants back when it is called again, with an HMAC and a
//! number, so that a client can neither forge nor change nor replay it, nor use it for another
//! request or as another client.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rmcp::ErrorData;
use rmcp::model::{
    InputRequests, InputRequiredResult, InputResponses, RequestStateCodec, SealOptions,
};
use sha2::{Digest, Sha256};

use crate::http_front::Principal;
use crate::server::elicitation;
use toolhost_core::input::{InputRequired, QuestionKinds, Resumption};
use toolhost_core::locks::lock;

/// How long a client may take to answer.
const TTL: Duration = Duration::from_secs(60 * 60);

pub(crate) struct RequestStates {
    codec: RequestStateCodec,
    ttl: Duration,
    used: Mutex<Used>,
}

/// The states that were used: one bit each, by number.
#[derive(Default)]
struct Used {
    chunks: VecDeque<UsedChunk>,
    /// The number of the first chunk's first state. All states before it count as used.
    first: u64,
    /// The number of the next state.
    next: u64,
}

struct UsedChunk {
    bits: Box<[u64; WORDS]>,
    /// When its latest state was made.
    last: Instant,
}

const WORDS: usize = 1024;

/// States per chunk.
const CHUNK: u64 = 64 * WORDS as u64;

/// The most chunks: 8 MiB. With more than 67 million states within an hour, the oldest expire
/// early.
const MAX_CHUNKS: usize = 1024;

impl RequestStates {
    /// The key belongs to this process: a state does not outlive it.
    pub(crate) fn new() -> RequestStates {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system has randomness");
        RequestStates {
            codec: RequestStateCodec::try_new(key).expect("the key is long enough"),
            ttl: TTL,
            used: Mutex::default(),
        }
    }

    /// `binding` identifies the request and its client.
    pub(crate) fn seal(&self, state: &[u8], binding: &[u8]) -> String {
        let number = lock(&self.used).number(self.ttl);
        let numbered = [&number.to_le_bytes()[..], state].concat();
        let options = SealOptions::new().associated_data(binding).ttl(self.ttl);
        self.codec.seal_with(&numbered, &options)
    }

    /// # Errors
    ///
    /// It was not sealed for this request, or was used before.
    pub(crate) fn open(&self, sealed: &str, binding: &[u8]) -> Result<Vec<u8>, String> {
        let opened = self.codec.open_with(sealed, binding);
        let mut opened = opened.map_err(|error| error.to_string())?;
        let Some((number, _)) = opened.split_first_chunk() else {
            return Err("request state is malformed".to_owned());
        };
        if !lock(&self.used).take(u64::from_le_bytes(*number)) {
            return Err("request state was already used".to_owned());
        }
        opened.drain(..size_of::<u64>());
        Ok(opened)
    }
}

impl Used {
    /// The number of a new state. Chunks whose states have all expired are dropped.
    fn number(&mut self, ttl: Duration) -> u64 {
        let now = Instant::now();
        let number = self.next;
        self.next += 1;
        match self.chunks.back_mut() {
            Some(chunk) if !number.is_multiple_of(CHUNK) => chunk.last = now,
            _ => self.chunks.push_back(UsedChunk {
                bits: Box::new([0; WORDS]),
                last: now,
            }),
        }
        while self.chunks.len() > MAX_CHUNKS
            || (self.chunks.len() > 1 && self.chunks.front().is_some_and(|it| now - it.last > ttl))
        {
            self.chunks.pop_front();
            self.first += CHUNK;
        }
        number
    }

    /// Marks a state as used. Returns whether it was unused.
    fn take(&mut self, number: u64) -> bool {
        let Some(at) = number.checked_sub(self.first) else {
            return false;
        };
        let Some(chunk) = self.chunks.get_mut((at / CHUNK) as usize) else {
            return false;
        };
        let word = &mut chunk.bits[(at % CHUNK / 64) as usize];
        let bit = 1 << (at % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// What a request's state is bound to: server, client, method and parameters.
pub(crate) struct Binding {
    parts: [String; 5],
}

impl Binding {
    pub(crate) fn new(
        plugins: &str,
        principal: Option<&Principal>,
        method: &str,
        name: &str,
        parameters: &str,
    ) -> Self {
        /// Longer parameters are replaced by their digest.
        const LONG: usize = 1 << 10;
        let principal = principal.map_or("", |principal| &principal.name);
        let long = (parameters.len() > LONG).then(|| toolhost_core::digest::sha256(parameters));
        let parameters = long.as_deref().unwrap_or(parameters);
        Binding {
            parts: [plugins, principal, method, name, parameters].map(str::to_owned),
        }
    }

    fn digest(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        for part in &self.parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_vec()
    }
}

/// The state and replies of a request that is made again.
///
/// # Errors
///
/// The state is not the host's own, or a reply is malformed.
pub(crate) fn resumption(
    states: &RequestStates,
    binding: &Binding,
    state: Option<String>,
    responses: Option<InputResponses>,
) -> Result<Option<Resumption>, ErrorData> {
    if state.is_none() && responses.is_none() {
        return Ok(None);
    }
    let mut replies = Vec::new();
    for (key, response) in responses.unwrap_or_default() {
        let reply = elicitation::reply(response).map_err(|what| {
            ErrorData::invalid_params(format!("the input response {key:?} {what}"), None)
        })?;
        replies.push((key, reply));
    }
    let state = match state {
        None => Vec::new(),
        Some(sealed) => states
            .open(&sealed, &binding.digest())
            .map_err(|message| ErrorData::invalid_params(message, None))?,
    };
    Ok(Some(Resumption::new(state, replies)))
}

/// Checks that a client supports all questions that a tool asks.
///
/// # Errors
///
/// The capability that it lacks.
pub(crate) fn check_can_ask(
    input: &InputRequired,
    can_ask: QuestionKinds,
) -> Result<(), ErrorData> {
    let questions = input.questions.iter().map(|(_, question)| question);
    let mut missing = questions.filter(|question| !can_ask.contains(question.kind()));
    match missing.clone().next() {
        None => Ok(()),
        Some(_) => {
            let required = elicitation::required(missing.by_ref());
            Err(ErrorData::missing_required_client_capability(required))
        }
    }
}

/// The result that asks a client of the stateless protocol a question.
///
/// # Errors
///
/// It does not support the question, or the protocol has no such question.
pub(crate) fn input_required(
    input: &InputRequired,
    can_ask: QuestionKinds,
    states: &RequestStates,
    binding: &Binding,
) -> Result<InputRequiredResult, ErrorData> {
    check_can_ask(input, can_ask)?;
    let mut requests = InputRequests::new();
    for (key, question) in &input.questions {
        let request = elicitation::input_request(question)
            .map_err(|message| ErrorData::internal_error(format!("{key:?}: {message}"), None))?;
        requests.insert(key.clone(), request);
    }
    let state = (!input.state.is_empty()).then(|| states.seal(&input.state, &binding.digest()));
    let requests = (!requests.is_empty()).then_some(requests);
    Ok(InputRequiredResult::new(requests, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_once_and_to_its_request_alone() {
        let states = RequestStates::new();
        let sealed = states.seal(b"step 2", b"alice call");
        assert!(
            states
                .open(&sealed, b"bob call")
                .unwrap_err()
                .contains("integrity")
        );
        assert_eq!(states.open(&sealed, b"alice call").unwrap(), b"step 2");
        let again = states.open(&sealed, b"alice call").unwrap_err();
        assert!(again.contains("already used"), "{again}");
        assert!(RequestStates::new().open(&sealed, b"alice call").is_err());
        assert!(states.open("rs1.x.y", b"alice call").is_err());
    }

    #[test]
    fn a_state_that_was_changed_anywhere_or_cut_off_is_refused() {
        let states = RequestStates::new();
        let sealed = states.seal(b"step 2", b"alice call");
        for end in 0..sealed.len() {
            assert!(states.open(&sealed[..end], b"alice call").is_err(), "{end}");
        }
        for at in 0..sealed.len() {
            for bit in 0..7 {
                let mut changed = sealed.clone().into_bytes();
                changed[at] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                if let Ok(state) = states.open(&changed, b"alice call") {
                    panic!("{state:?} by bit {bit} of byte {at}");
                }
            }
        }
        for more in ["A", "=", ".", " ", "\0"] {
            assert!(
                states
                    .open(&format!("{sealed}{more}"), b"alice call")
                    .is_err()
            );
        }
        assert_eq!(states.open(&sealed, b"alice call").unwrap(), b"step 2");
    }

    #[test]
    fn a_state_that_has_expired_is_refused() {
        let mut states = RequestStates::new();
        states.ttl = Duration::ZERO;
        let sealed = states.seal(b"step 2", b"alice call");
        let start = Instant::now();
        let why = loop {
            match states.open(&sealed, b"alice call") {
                Err(why) => break why,
                // The clock of expiry has milliseconds.
                Ok(_) => assert!(start.elapsed() < Duration::from_secs(5)),
            }
            states.used = Mutex::default();
            lock(&states.used).number(TTL);
        };
        assert!(why.contains("expired"), "{why}");
    }

    #[test]
    fn a_state_that_was_used_stays_used_however_many_there_are_after_it() {
        let mut used = Used::default();
        for number in 0..3 * CHUNK {
            assert_eq!(used.number(TTL), number);
            assert!(number % 2 == 0 || used.take(number));
        }
        assert_eq!(used.chunks.len(), 3);
        for number in 0..3 * CHUNK {
            assert_eq!(used.take(number), number % 2 == 0, "{number}");
            assert!(!used.take(number), "{number}");
        }
        // One that was never made.
        assert!(!used.take(3 * CHUNK));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_refused() {
        let mut used = Used::default();
        for _ in 0..=CHUNK {
            used.number(Duration::from_secs(60));
        }
        assert_eq!(used.chunks.len(), 2);
        // All of the first have expired.
        used.chunks[0].last -= Duration::from_secs(61);
        let last = used.number(Duration::from_secs(60));
        assert_eq!((used.chunks.len(), used.first), (1, CHUNK));
        assert!(!used.take(0) && !used.take(CHUNK - 1));
        assert!(used.take(CHUNK) && used.take(last));
        // However many there are within the time of one.
        while used.chunks.len() < MAX_CHUNKS {
            used.chunks.push_back(UsedChunk {
                bits: Box::new([0; WORDS]),
                last: Instant::now(),
            });
        }
        used.next = used.first + MAX_CHUNKS as u64 * CHUNK;
        let last = used.number(TTL);
        assert_eq!(used.chunks.len(), MAX_CHUNKS);
        assert!(!used.take(CHUNK + 2) && used.take(last));
    }
}
