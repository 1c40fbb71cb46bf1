//! Every attack there is, by what it is on.

mod addresses;
mod ends;
mod files;
mod output;
mod requests;
mod resources;
mod responses;
mod script;
mod secrets;
mod smuggling;
mod sockets;
mod surroundings;
mod time;

use super::attack::Attack;

/// Nothing granted, and default limits.
const NOTHING: &str = "";

/// What only the deadline ends is given little time.
const QUICK: &str = "timeout = '300ms'";

pub fn attacks() -> impl Iterator<Item = &'static Attack> {
    let groups = [
        time::ATTACKS,
        resources::ATTACKS,
        output::ATTACKS,
        ends::ATTACKS,
        surroundings::ATTACKS,
        requests::ATTACKS,
        addresses::ATTACKS,
        smuggling::ATTACKS,
        responses::ATTACKS,
        sockets::ATTACKS,
        files::ATTACKS,
        secrets::ATTACKS,
        script::ATTACKS,
    ];
    groups.into_iter().flatten()
}
