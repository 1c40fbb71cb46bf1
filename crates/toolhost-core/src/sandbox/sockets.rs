//! Checks a guest's sockets against its `sockets` permission: TCP to granted hosts and ports, at
//! the addresses that their names had when the guest looked them up.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use super::{Grants, Journal, Sandbox, StopReason};
use crate::limits::Limit;
use crate::locks;
use crate::name_resolution::may_be;

/// The names that a call has looked up.
#[derive(Default)]
pub(super) struct Lookups {
    /// The name that each address stream belongs to.
    streams: HashMap<u32, String>,
    count: u32,
    /// Where it may connect to so far.
    reachable: LazyLock<Reachable>,
}

type Reachable = Arc<Mutex<HashSet<SocketAddr>>>;

/// Enables sockets if any are granted.
pub(super) fn configure(
    wasi: &mut WasiCtxBuilder,
    grants: &Grants,
    journal: &Journal,
    lookups: &Lookups,
) {
    let granted = !grants.permissions.sockets.is_empty();
    wasi.allow_tcp(granted)
        .allow_udp(false)
        .allow_ip_name_lookup(granted);
    let journal = journal.clone();
    let reachable = lookups.reachable.clone();
    // Literal addresses in grants need no lookup.
    for rule in &grants.permissions.sockets {
        let host = rule.host().to_string();
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            reach(&reachable, ip, rule.port());
        }
    }
    wasi.socket_addr_check(move |address, usage| {
        let allowed = match usage {
            SocketAddrUse::TcpConnect => {
                let reachable = locks::lock(&reachable);
                reachable.contains(&plain(address))
            }
            // The implicit bind before a connection.
            SocketAddrUse::TcpBind => {
                granted && address.ip().is_unspecified() && address.port() == 0
            }
            _ => false,
        };
        if !allowed {
            let what = match usage {
                SocketAddrUse::TcpConnect => "a connection to",
                SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
                    "to listen at"
                }
                _ => "datagrams of",
            };
            journal.deny(format!("socket: {what} {address}"));
        }
        Box::pin(async move { allowed })
    });
}

fn reach(reachable: &Reachable, ip: IpAddr, port: u16) {
    let mut reachable = locks::lock(reachable);
    reachable.insert(plain(SocketAddr::new(ip, port)));
}

/// An address without scope, flow label, or IPv4 in IPv6.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<Sandbox>, (network, name): (Resource<Network>, String)| {
            Ok((resolve(store.data_mut(), network, name)?,))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<Sandbox>, (stream,): (Resource<ResolveAddressStream>,)| {
            Ok((next_address(store.data_mut(), stream)?,))
        },
    )?;
    // A guest without the permission gets no socket either; name the permission in the denial.
    let mut tcp = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    tcp.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<Sandbox>, (family,): (network::IpAddressFamily,)| {
            use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host;
            let sandbox = store.data_mut();
            deny_unless_granted(sandbox, "tcp");
            let created = sandbox.sockets().create_tcp_socket(family);
            Ok((code(sandbox, created)?,))
        },
    )?;
    let mut udp = linker.instance("wasi:sockets/udp-create-socket@0.2.12")?;
    udp.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<Sandbox>, (family,): (network::IpAddressFamily,)| {
            Box::new(async move {
                use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host;
                let sandbox = store.data_mut();
                deny_udp(sandbox);
                let created = sandbox.sockets().create_udp_socket(family).await;
                Ok((code(sandbox, created)?,))
            })
        },
    )
}

/// No permission grants datagrams.
pub(super) fn deny_udp(sandbox: &Sandbox) {
    sandbox.journal.deny("socket: udp".to_owned());
}

pub(super) fn deny_unless_granted(sandbox: &Sandbox, what: &str) {
    if sandbox.grants.permissions.sockets.is_empty() {
        sandbox.journal.deny(format!("socket: {what}"));
    }
}

/// Returns an error to the guest.
fn code<T>(
    sandbox: &mut Sandbox,
    result: wasmtime_wasi::p2::SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => {
            let code = network::Host::convert_error_code(&mut sandbox.sockets(), error)?;
            Ok(Err(code))
        }
    }
}

fn resolve(
    sandbox: &mut Sandbox,
    network: Resource<Network>,
    name: String,
) -> wasmtime::Result<Result<Resource<ResolveAddressStream>, ErrorCode>> {
    let lower = name.to_ascii_lowercase();
    if !begin_lookup(sandbox, &lower)? {
        return Ok(Err(ErrorCode::AccessDenied));
    }
    let stream = sandbox.sockets().resolve_addresses(network, name);
    let stream = code(sandbox, stream)?;
    if let Ok(stream) = &stream {
        sandbox.lookups.streams.insert(stream.rep(), lower);
    }
    Ok(stream)
}

/// Counts a lookup of a name in lower case. Returns whether it is granted.
pub(super) fn begin_lookup(sandbox: &mut Sandbox, name: &str) -> wasmtime::Result<bool> {
    let rules = &sandbox.grants.permissions.sockets;
    if !rules.iter().any(|rule| rule.host().matches(name)) {
        sandbox
            .journal
            .deny(format!("socket: the address of {name}"));
        return Ok(false);
    }
    // Each lookup may occupy a thread of the host for as long as the name server takes.
    sandbox.lookups.count += 1;
    let most = sandbox.grants.limits.max_requests;
    if sandbox.lookups.count > most {
        return Err(StopReason::Limit(Limit::Requests, most.into()).into());
    }
    Ok(true)
}

/// Notes an address that the guest gets for a name in lower case, so that it may connect there.
pub(super) fn found(sandbox: &Sandbox, name: &str, ip: IpAddr) {
    for rule in &sandbox.grants.permissions.sockets {
        if rule.host().matches(name) && may_be(name, ip) {
            reach(&sandbox.lookups.reachable, ip, rule.port());
        }
    }
}

/// Notes the addresses that the guest gets.
fn next_address(
    sandbox: &mut Sandbox,
    stream: Resource<ResolveAddressStream>,
) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
    let name = sandbox.lookups.streams.get(&stream.rep()).cloned();
    let next = sandbox.sockets().resolve_next_address(stream);
    let next = code(sandbox, next)?;
    if let (Ok(Some(address)), Some(name)) = (&next, name) {
        let ip = match *address {
            IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
            IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
        };
        found(sandbox, &name, ip);
    }
    Ok(next)
}
